"""The services of a draft: which connector serves each, and its settings.

A service bears the name of its connector, or says with `connector: NAME` which one serves it.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from retirement.config.document import Node
from retirement.config.draft import Draft, moved
from retirement.config.problems import Problems, close_to, nearest, shown
from retirement.config.rules import Placed
from retirement.config.sections import Check, Sections, fields_of
from retirement.config.settings import LmsSettings
from retirement.connectors import Connector, ServiceSettings
from retirement.wire import urls

#: Keys that the service of the LMS has from the section `lms`.
_OF_THE_LMS = ("url", "allow_insecure")

#: Reads sections and tells the problems that it is given.
Telling = Callable[[Problems], Sections]


class _Unused(Problems):
    """What is wrong with a service that no step uses: a warning of the file, and the service is left out."""

    def __init__(self, service: str, file: Problems) -> None:
        super().__init__(file.source)
        self._service, self._file = service, file

    def add(self, line: int, key: str, text: str) -> None:
        super().add(line, key, text)
        self._file.warn(line, key, f"{text.rstrip('.')}; no step uses {self._service}, so it is left out")

    def warn(self, line: int, key: str, text: str) -> None:
        self._file.warn(line, key, text)


class Services:
    """Reads the services of one draft; `installed` are the connectors that there are."""

    def __init__(
        self, draft: Draft, telling: Telling, installed: Mapping[str, type[Connector]], problems: Problems
    ) -> None:
        self._draft, self._telling, self._problems = draft, telling, problems
        self._sections = telling(problems)
        self._section = draft.root.entries.get("services") or Node(None, 1, "services")
        #: Connectors of the services that say which one serves them.
        self.named = self._given(installed)
        self.connectors = {**installed, **self.named}

    def _given(self, connectors: Mapping[str, type[Connector]]) -> dict[str, type[Connector]]:
        """Connectors by the names of services that say which one serves them, with `connector: NAME`."""
        given: dict[str, type[Connector]] = {}
        for name, node in self._section.entries.items():
            if (place := node.entries.get("connector")) is None:
                continue
            if problem := _problem_of_connector(name, place, connectors):
                self._problems.add(place.line, place.key, problem)
            else:
                given[name] = connectors[shown(place.text)]
        return given

    def misnamed(self, service: str) -> bool:
        """Whether the service says which connector serves it, and has been told that there is none."""
        node = self._section.entries.get(service)
        return node is not None and "connector" in node.entries and service not in self.connectors

    def read(self, lms: LmsSettings | None, placed: Collection[Placed]) -> dict[str, ServiceSettings]:
        """The settings of every service that has right ones; those of the LMS are its own section's as well."""
        given = self._section
        if not isinstance(given.data, dict | None):
            self._problems.add(given.line, given.key, "must be a mapping of services, such as `CREDENTIALS: {url: …}`")
        first_use = {each.step.service: each for each in reversed(list(placed))}
        found: dict[str, ServiceSettings] = {}
        for name, node in self._every_section(first_use).items():
            if name not in self.connectors:
                self._refuse_unserved(name, node)
            elif name == "LMS":
                found |= self._lms_service(lms, node)
            else:
                found |= self._service(name, node, used=name in first_use)
        return found

    def _every_section(self, first_use: Mapping[str, Placed]) -> dict[str, Node]:
        """The sections of the file, and empty ones of services that a step uses and the file says nothing of."""
        given = {"LMS": Node({}, 1, "services.LMS"), **self._section.entries}
        lines = {name: first_use[name].at("service").line for name in sorted(first_use.keys() - given.keys())}
        return given | {name: Node({}, line, f"services.{name}") for name, line in lines.items()}

    def _refuse_unserved(self, name: str, node: Node) -> None:
        if self.misnamed(name):
            return
        close = close_to(shown(name), self.connectors)
        hint = close or f"; say which one does, `connector: NAME`{nearest(shown(name), self.connectors)}"
        self._problems.add(node.line, node.key, f"is no service that a connector serves{hint}")

    def _lms_service(self, lms: LmsSettings | None, node: Node) -> dict[str, ServiceSettings]:
        for name in _OF_THE_LMS:
            if place := node.entries.get(name):
                self._problems.add(place.line, place.key, f"is given once for all, as lms.{name}; remove it here")
        url = Node("https://lms.invalid", node.line, node.key)
        data = _without(node, _OF_THE_LMS) | {"url": url} if isinstance(node.data, dict | None) else node.data
        settings = self._sections.read(self.connectors["LMS"].Settings, moved(node, data), "services.LMS")
        address = {"url": lms.url, "allow_insecure": lms.allow_insecure} if lms else None
        return {"LMS": settings.model_copy(update=address)} if settings else {}

    def _service(self, name: str, node: Node, *, used: bool) -> dict[str, ServiceSettings]:
        # The other dialects hold what a site has gathered over the years; ours is written for this program.
        needed = used or self._draft.dialect == "own"
        sections = self._sections if needed else self._telling(_Unused(name, self._problems))
        if isinstance(node.data, dict):
            node = moved(node, _without(node, ["connector"]))
        model = self.connectors[name].Settings
        settings = sections.read(model, node, f"services.{name}", self.url_checks(model))
        return {name: settings} if settings else {}

    def url_checks(self, model: type[BaseModel]) -> dict[str, Check]:
        """Every address of a service is checked, since each is sent tokens and learners."""
        addresses = (name for name, info in fields_of(model).items() if _is_address(name, info))
        return {name: partial(self._url_problem, name) for name in addresses}

    def _url_problem(self, name: str, values: Mapping[str, Any]) -> str | None:
        permitted = str(values.get("allow_insecure", "")).lower() in ("true", "yes", "on", "1")
        return urls.problem_of(values[name], allow_insecure=permitted, remedy=self._draft.insecure_remedy)


def _problem_of_connector(name: str, place: Node, connectors: Mapping[str, type[Connector]]) -> str | None:
    """Why a service cannot be served by the connector that it names, None where it can."""
    wanted = shown(place.text)
    if not isinstance(place.data, str):
        return f"must name a connector{nearest('', connectors)}"
    if wanted not in connectors:
        return f"there is no connector {wanted}{nearest(wanted, connectors)}"
    if name in connectors and name != wanted:
        return f"{name} has a connector of its own; name the service otherwise, or remove this line"
    return None


def _without(section: Node, keys: Collection[str]) -> dict[str, Node]:
    return {key: each for key, each in section.entries.items() if key not in keys}


def _is_address(key: str, field: FieldInfo) -> bool:
    return (key == "url" or key.endswith("_url")) and field.annotation is not SecretStr
