"""From a path to a `Configuration`: every check, in the order in which one depends on another."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from retirement.config import cron, databases, dialects, document, rules, urls
from retirement.config.document import Node
from retirement.config.draft import Draft, moved
from retirement.config.problems import Problems, nearest, shown
from retirement.config.references import References, SecretBlock
from retirement.config.rules import Placed
from retirement.config.sections import Sections
from retirement.config.settings import (
    BreakerSettings,
    Configuration,
    GeneralSettings,
    GuardSettings,
    LedgerSettings,
    LmsSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
)
from retirement.connectors import Connector, ServiceSettings, registry
from retirement.pipeline import STATE_NAME_LENGTH, Step

DEFAULT_PATH = "retirement.yaml"


def load(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    secret_block: SecretBlock | None = None,
    connectors: Mapping[str, type[Connector]] | None = None,
) -> Configuration:
    """Reads and checks a configuration file; raises `ConfigError` with all of its problems.

    Without a path it is that of RETIREMENT_CONFIG, else `retirement.yaml`. `secret_block` answers `block:NAME`;
    it says that there is no such block by a ValueError or a LookupError. `connectors` are those that are
    installed, unless a test brings its own.
    """
    environ = os.environ if environ is None else environ
    file = Path(path if path is not None else environ.get("RETIREMENT_CONFIG") or DEFAULT_PATH)
    problems = Problems(str(file))
    known = registry() if connectors is None else connectors
    root = document.read(file, problems)
    draft = dialects.draft(root, problems, frozenset(known)) if root else None
    if draft is None:
        raise problems.error
    references = References(file.parent, environ, secret_block, problems, exposed=_others_can_read(file))
    return _Loader(draft, Sections(draft, references, problems), known, problems).configuration()


def _others_can_read(file: Path) -> bool:
    mode = file.stat().st_mode
    return stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _path_problem(path: str) -> str | None:
    return None if path.isprintable() else "holds characters that no path has"


class _Loader:
    def __init__(
        self, draft: Draft, sections: Sections, connectors: Mapping[str, type[Connector]], problems: Problems
    ) -> None:
        self._draft = draft
        self._sections = sections
        self._problems = problems
        self._root = draft.root.entries
        self._connectors = {**connectors, **self._given(connectors)}

    def _given(self, connectors: Mapping[str, type[Connector]]) -> dict[str, type[Connector]]:
        """Connectors by the names of services that say which one serves them, with `connector: NAME`."""
        given: dict[str, type[Connector]] = {}
        for name, node in self._section("services").entries.items():
            if (place := node.entries.get("connector")) is None:
                continue
            wanted = shown(place.text)
            if wanted not in connectors:
                self._problems.add(
                    place.line, place.key, f"there is no connector {wanted}{nearest(wanted, connectors)}"
                )
            elif name in connectors and name != wanted:
                self._problems.add(
                    place.line, place.key, f"{name} has a connector of its own; name the service otherwise"
                )
            else:
                given[name] = connectors[wanted]
        return given

    def configuration(self) -> Configuration:
        lms = self._sections.read(LmsSettings, self._section("lms"), "lms", {"url": self._url_problem})
        queue = self._sections.read(QueueSettings, self._section("queue"), "queue")
        guard = self._sections.read(GuardSettings, self._section("guard"), "guard")
        retry = self._sections.read(RetrySettings, self._section("retry"), "retry")
        breaker = self._breaker()
        ledger = self._ledger()
        general = self._general()
        placed, unreadable = self._steps()
        known = rules.known(placed, self._connectors, self._problems)
        services = self._services(lms, known)
        rules.repeated(known, self._connectors, self._problems)
        steps = rules.shape(placed, unreadable, self._problems)
        self._check_states(lms, placed)
        if steps and len(known) == len(placed):
            remedy = "set services.LMS.forum"
            if self._draft.dialect != "own":
                remedy = "convert the file (`config import`) and set services.LMS.forum"
            rules.identity(steps, placed, self._connectors, services, self._problems, remedy=remedy)
        if self._problems or not (lms and ledger and queue and guard and retry and breaker and general and steps):
            raise self._problems.error
        used = {step.service for step in steps}
        return Configuration(
            source=self._problems.source,
            dialect=self._draft.dialect,
            lms=lms,
            **general.model_dump(),
            ledger=ledger,
            queue=queue,
            guard=guard,
            retry=retry,
            breaker=breaker,
            services=services,
            connectors={name: each for name, each in self._connectors.items() if name in used},
            pipeline=steps,
            warnings=self._problems.warnings,
        )

    def _section(self, name: str) -> Node:
        return self._root.get(name) or Node(None, 1, name)

    def _general(self) -> GeneralSettings | None:
        given = {name: node for name, node in self._root.items() if name in GeneralSettings.model_fields}
        checks = {
            "schedule": lambda values: cron.problem_of(values["schedule"]),
            "reconcile_schedule": lambda values: cron.problem_of(values["reconcile_schedule"]),
        }
        general = self._sections.read(GeneralSettings, Node(given, 1, "file"), "", checks)
        if general:
            self._warn_of_deadlines(general)
        return general

    def _warn_of_deadlines(self, general: GeneralSettings) -> None:
        """A warning here, and a failure of `doctor`: a learner may still be better off late than never."""
        text = "no retirement{} can start within the deadline of {} days; shorten it"
        if general.cool_off_days > general.deadline_days:
            node = self._root.get("cool_off_days") or self._root["deadline_days"]
            self._problems.warn(node.line, node.key, text.format("", general.deadline_days))
        for country, days in general.deadline_days_by_country.items():
            if general.cool_off_days > days:
                given = self._root["deadline_days_by_country"].at((country,))
                node = self._root.get("cool_off_days") or given
                self._problems.warn(node.line, node.key, text.format(f" of {country}", days))

    def _ledger(self) -> LedgerSettings | None:
        """Paths start at the folder of the file, wherever the program is started."""
        checks = {
            "url": lambda values: databases.problem_of(values["url"]),
            "anchor": lambda values: _path_problem(values["anchor"]),
            "key": lambda values: _path_problem(values["key"]),
        }
        ledger = self._sections.read(LedgerSettings, self._section("ledger"), "ledger", checks)
        if ledger is None:
            return None
        folder = Path(self._problems.source).absolute().parent
        placed: dict[str, Any] = {
            name: str(folder / Path(path).expanduser())
            for name, path in (("anchor", ledger.anchor), ("key", ledger.key))
            if path is not None
        }
        if ledger.url is not None:
            placed["url"] = SecretStr(databases.absolute(ledger.url.get_secret_value(), folder))
        return ledger.model_copy(update=placed)

    def _breaker(self) -> BreakerSettings | None:
        node = self._section("breaker")
        breaker = self._sections.read(BreakerSettings, node, "breaker")
        if breaker and breaker.longest_seconds < breaker.seconds:
            if place := node.entries.get("longest_seconds"):
                text = f"must be at least breaker.seconds, which is {breaker.seconds:g}"
            else:
                place = node.entries["seconds"]
                text = f"must be at most breaker.longest_seconds, which is {breaker.longest_seconds:g}"
            self._problems.add(place.line, place.key, text)
        return breaker

    def _steps(self) -> tuple[list[Placed], set[str]]:
        """The steps that can be read, and the names of those that cannot."""
        node = self._section("pipeline")
        if node.unusable or not isinstance(node.data, list | None):
            self._problems.add(node.line, node.key, node.unusable or "must be a list of steps")
            return [], set()
        if not node.items:
            self._problems.add(node.line, self._draft.named("pipeline"), "has no steps; give at least one")
        placed: list[Placed] = []
        unreadable: set[str] = set()
        previous: tuple[str, ...] = ()
        for each in node.items:
            read = self._sections.read(StepSettings, each, "pipeline")
            if read:
                after = previous if read.after is None else read.after
                placed.append(Placed(Step(read.start, read.end, read.service, read.operation, after), each))
                previous = (read.start,)
            else:
                start = each.at(("start",))
                unreadable.add(start.text or start.key)
        return placed, unreadable

    def _services(self, lms: LmsSettings | None, placed: list[Placed]) -> dict[str, ServiceSettings]:
        given = self._section("services")
        if not isinstance(given.data, dict | None):
            self._problems.add(given.line, given.key, "must be a mapping of services, such as `CREDENTIALS: {url: …}`")
        first_use = {each.step.service: each for each in reversed(placed)}
        found: dict[str, ServiceSettings] = {}
        for name, node in {"LMS": Node({}, 1, "services.LMS"), **given.entries}.items():
            if name not in self._connectors:
                hint = nearest(shown(name), self._connectors)
                self._problems.add(node.line, node.key, f"is no service that a connector serves{hint}")
            elif name == "LMS":
                found |= self._lms_service(lms, node)
            else:
                found |= self._service(name, node, used=name in first_use)
        for name in sorted(first_use.keys() - given.entries.keys() - {"LMS"}):
            place = first_use[name].at("service")
            found |= self._service(name, Node({}, place.line, f"services.{name}"), used=True)
        return found

    def _lms_service(self, lms: LmsSettings | None, node: Node) -> dict[str, ServiceSettings]:
        for name in ("url", "allow_insecure"):
            if name in node.entries:
                place = node.entries[name]
                self._problems.add(place.line, place.key, f"is given once for all, as lms.{name}; remove it here")
        rest = {name: each for name, each in node.entries.items() if name not in ("url", "allow_insecure")}
        url = Node("https://lms.invalid", node.line, node.key)
        data = rest | {"url": url} if isinstance(node.data, dict | None) else node.data
        settings = self._sections.read(self._connectors["LMS"].Settings, moved(node, data), "services.LMS")
        if settings and lms:
            settings = settings.model_copy(update={"url": lms.url, "allow_insecure": lms.allow_insecure})
        return {"LMS": settings} if settings else {}

    def _service(self, name: str, node: Node, *, used: bool) -> dict[str, ServiceSettings]:
        needed = used or self._draft.dialect == "own"
        if isinstance(node.data, dict):
            node = moved(node, {key: each for key, each in node.entries.items() if key != "connector"})
        checks = {"url": self._url_problem} if needed else {}
        settings = self._sections.read(self._connectors[name].Settings, node, f"services.{name}", checks)
        if settings and not needed and (text := self._url_problem(settings.model_dump())):
            place = node.at(("url",))
            self._problems.warn(place.line, place.key, f"{text}; no step uses {name}, so it is left out")
            return {}
        return {name: settings} if settings else {}

    def _url_problem(self, values: Mapping[str, Any]) -> str | None:
        permitted = str(values.get("allow_insecure", "")).lower() in ("true", "yes", "on", "1")
        return urls.problem_of(values["url"], allow_insecure=permitted, remedy=self._draft.insecure_remedy)

    def _check_states(self, lms: LmsSettings | None, placed: list[Placed]) -> None:
        node = self._section("lms").entries.get("states")
        if node is None or not isinstance(node.data, list):
            return
        given = lms.states if lms and lms.states else [item.text for item in node.items]
        for index, state in enumerate(given):
            if len(state) > STATE_NAME_LENGTH:
                item = node.at((index,))
                text = f"has {len(state)} characters; the LMS stores {STATE_NAME_LENGTH}"
                self._problems.add(item.line, item.key, text)
        rules.states(placed, given, node, self._problems)
