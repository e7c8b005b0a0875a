"""Reads the section `partners`: its own keys, and each sink by the settings of its kind."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from retirement.config.document import Node
from retirement.config.draft import moved
from retirement.config.partners import KINDS, AnySink, PartnerSettings
from retirement.config.problems import Problems, close_to, shown
from retirement.config.sections import Check, Sections
from retirement.wire import urls


class PartnerSection:
    """The section of one file."""

    def __init__(self, node: Node, sections: Sections, problems: Problems) -> None:
        self._node, self._sections, self._problems = node, sections, problems

    def read(self, insecure_remedy: str) -> PartnerSettings | None:
        """The settings; None where the problems say why not."""
        own = {name: each for name, each in self._node.entries.items() if name != "sinks"}
        node = moved(self._node, own) if self._node.entries else self._node
        read = self._sections.read(PartnerSettings, node, "partners")
        if read and read.expire_days is not None and read.warn_days >= read.expire_days:
            place = own.get("warn_days") or own["expire_days"]
            text = "partners.warn_days must be less than partners.expire_days: the partner is told before"
            self._problems.add(place.line, place.key, text)
        sinks = self._sinks(self._node.child("sinks"), insecure_remedy)
        return read and read.model_copy(update={"sinks": sinks})

    def _sinks(self, node: Node, insecure_remedy: str) -> tuple[AnySink, ...]:
        """The sinks that can be read; what is wrong with others is among the problems."""
        if problem := node.unlike(list, "must be a list of sinks, such as [{name: bucket, kind: s3, bucket: …}]"):
            self._problems.add(node.line, node.key, problem)
        found: dict[str, AnySink] = {}
        for each in node.items:
            if (read := self._sink(each, insecure_remedy)) is None:
                continue
            if read.name in found or read.name == "reports":
                name = each.at(("name",))
                whose = "of another sink" if read.name in found else "of the folder partner_reports"
                self._problems.add(name.line, name.key, f"is the name {whose} too; give each its own")
            found[read.name] = read
        return tuple(found.values())

    def _sink(self, node: Node, insecure_remedy: str) -> AnySink | None:
        if problem := node.unlike(dict, "must be a mapping of keys and values"):
            self._problems.add(node.line, node.key, problem)
            return None
        kind = node.child("kind")
        model = KINDS.get(kind.text)
        if model is None:
            text = f"must be one of {', '.join(KINDS)}{close_to(shown(kind.text), KINDS)}"
            self._problems.add(kind.line, kind.key, text)
            return None
        return self._sections.read(model, node, "partners.sinks", url_checks(insecure_remedy))


def url_checks(insecure_remedy: str) -> dict[str, Check]:
    """What is looked at in addresses of stores; the remedy says what permits http://."""

    def address(name: str, values: Mapping[str, Any]) -> str | None:
        permitted = values.get("allow_insecure") is True
        return urls.problem_of(values[name], allow_insecure=permitted, remedy=insecure_remedy)

    return {name: partial(address, name) for name in ("endpoint_url", "url")}
