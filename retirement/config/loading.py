"""From a path to a `Configuration`: every check, in the order in which one depends on another."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from retirement.config import cron, databases, dialects, document, rules
from retirement.config.buckets import ArchiveSettings
from retirement.config.channels import ChannelSettings
from retirement.config.document import Node
from retirement.config.door import DoorSettings, door_problems
from retirement.config.draft import Draft
from retirement.config.ledger import LedgerSettings
from retirement.config.order import Order
from retirement.config.partner_section import PartnerSection, url_checks
from retirement.config.partners import PartnerSettings
from retirement.config.problems import Problems
from retirement.config.references import References, SecretBlock
from retirement.config.rules import Placed
from retirement.config.sections import Check, Sections
from retirement.config.services import Services, Telling
from retirement.config.settings import (
    SCHEDULES,
    BreakerSettings,
    Configuration,
    DatabaseSettings,
    EngineSettings,
    GeneralSettings,
    GuardSettings,
    LmsSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
)
from retirement.config.unsaid import NO_ANSWERS, Answers
from retirement.connectors import Connector, ServiceSettings, registry
from retirement.pipeline import Pipeline, Step
from retirement.wire import urls

DEFAULT_PATH = "retirement.yaml"


def load(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    secret_block: SecretBlock | None = None,
    connectors: Mapping[str, type[Connector]] | None = None,
    answers: Answers = NO_ANSWERS,
) -> Configuration:
    """Reads and checks a configuration file; raises `ConfigError` with all of its problems.

    Without a path it is that of RETIREMENT_CONFIG, else `retirement.yaml`. `secret_block` answers `block:NAME`;
    it says that there is no such block by a ValueError or a LookupError. `connectors` are those that are
    installed, unless a test brings its own. `answers` are what the operator says beside the file.
    """
    environ = os.environ if environ is None else environ
    file = _file_of(path, environ)
    problems = Problems(str(file))
    known = registry() if connectors is None else connectors
    root = document.read(file, problems)
    draft, unsaid = dialects.draft(root, problems, known, answers) if root else (None, ())
    if draft is None:
        raise problems.error
    exposed = _others_can_read(file)

    def telling(told: Problems) -> Sections:
        return Sections(draft, References(file.parent, environ, secret_block, told, exposed=exposed), told)

    return replace(_Loader(draft, telling, known, problems).configuration(), unsaid=unsaid)


def _file_of(path: str | Path | None, environ: Mapping[str, str]) -> Path:
    return Path(path if path is not None else environ.get("RETIREMENT_CONFIG") or DEFAULT_PATH)


def _others_can_read(file: Path) -> bool:
    mode = file.stat().st_mode
    return stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _channel_problem(url: str) -> str | None:
    """What shows without Apprise, which takes seconds to load: it is asked when a channel is used."""
    text = "is no Apprise URL, such as mailtos://USER:PASSWORD@example.com; a block of Prefect is given as block:"
    return None if re.match(r"[A-Za-z][\w+.-]*://\S", url) else text


def _schedule_problem(name: str, values: Mapping[str, Any]) -> str | None:
    zone = values.get("timezone")
    return cron.problem_of(values[name], zone if isinstance(zone, str) else None)


class _Loader:
    """Checks one draft."""

    def __init__(
        self,
        draft: Draft,
        telling: Telling,
        connectors: Mapping[str, type[Connector]],
        problems: Problems,
    ) -> None:
        self._draft = draft
        self._sections = telling(problems)
        self._problems = problems
        self._root = draft.root.entries
        self._services = Services(draft, telling, connectors, problems)
        self._connectors = self._services.connectors

    def configuration(self) -> Configuration:
        lms = self._sections.read(LmsSettings, self._section("lms"), "lms", self._services.url_checks(LmsSettings))
        sections: dict[str, Any] = {
            "queue": self._sections.read(QueueSettings, self._section("queue"), "queue"),
            "guard": self._sections.read(GuardSettings, self._section("guard"), "guard"),
            "retry": self._sections.read(RetrySettings, self._section("retry"), "retry"),
            "breaker": self._breaker(),
            "engine": self._sections.read(EngineSettings, self._section("engine"), "engine"),
            "ledger": self._ledger(),
            "databases": self._databases(),
            "partners": self._partners(),
        }
        channels, door, archive = self._notifications(), self._door(), self._archive()
        general = self._general()
        steps, services = self._pipeline(lms)
        if self._problems or not (lms and general and steps and all(sections.values())):
            raise self._problems.error
        return Configuration(
            source=self._problems.source,
            dialect=self._draft.dialect,
            lms=lms,
            **general.model_dump(),
            **sections,
            notifications=channels,
            door=door,
            archive=archive,
            services=services,
            connectors=self._meant(steps),
            pipeline=steps,
            warnings=self._problems.warnings,
        )

    def _pipeline(self, lms: LmsSettings | None) -> tuple[Pipeline | None, dict[str, ServiceSettings]]:
        """The pipeline, None where `problems` says why not, and the settings of the services that it calls."""
        placed, unreadable = self._steps()
        sound = [each for each in placed if not self._services.misnamed(each.step.service)]
        known = rules.known(sound, self._connectors, self._problems)
        services = self._services.read(lms, known)
        rules.repeated(known, self._problems)
        rules.superseded(known, self._connectors, self._problems)
        steps = rules.shape(placed, unreadable, self._problems)
        self._check_states(lms, placed)
        if steps and len(known) == len(placed):
            self._check_order(Order(steps, placed, self._connectors, services))
        return steps, services

    def _check_order(self, order: Order) -> None:
        remedy = "set services.LMS.forum"
        if self._draft.dialect != "own":
            remedy = "convert the file (`config import`) and set services.LMS.forum"
        order.check_identity(self._problems, remedy)
        order.check_sessions(self._problems)

    def _meant(self, steps: Pipeline) -> dict[str, type[Connector]]:
        """Those that the file names are part of what it means, whether or not a step uses them."""
        used = {step.service for step in steps} | set(self._services.named)
        return {name: each for name, each in self._connectors.items() if name in used}

    def _section(self, name: str) -> Node:
        return self._root.get(name) or Node(None, 1, name)

    def _general(self) -> GeneralSettings | None:
        given = {name: node for name, node in self._root.items() if name in GeneralSettings.model_fields}
        checks: dict[str, Check] = {name: partial(_schedule_problem, name) for name in SCHEDULES}
        checks["timezone"] = lambda values: cron.problem_of_zone(values["timezone"])
        general = self._sections.read(GeneralSettings, Node(given, 1, "file"), "", checks)
        if general is not None:
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
        """The path of a SQLite file starts at the folder of this one, as every path."""
        checks = {
            "url": lambda values: databases.problem_of(values["url"]),
            "head_url": lambda values: urls.problem_of(
                values["head_url"], allow_insecure=False, remedy="post to a relay on this machine"
            ),
        }
        node = self._section("ledger")
        ledger = self._sections.read(LedgerSettings, node, "ledger", checks)
        if ledger is None:
            return None
        if ledger.sign_command and ledger.public_key is None:
            given = node.at(("sign_command",))
            self._problems.add(given.line, given.key, "needs ledger.public_key")
        if ledger.postgresql_schema and (ledger.url is None or databases.is_file(ledger.url.get_secret_value())):
            given = node.at(("postgresql_schema",))
            self._problems.add(
                given.line, given.key, "needs ledger.url of a PostgreSQL; give each site a file of its own"
            )
        if ledger.url is None:
            return ledger
        url = SecretStr(databases.absolute(ledger.url.get_secret_value(), self._sections.folder))
        return ledger.model_copy(update={"url": url})

    def _databases(self) -> DatabaseSettings | None:
        """As of the ledger: the path of a SQLite file starts at the folder of this one."""

        def problem(name: str, values: Mapping[str, Any]) -> str | None:
            return databases.problem_of_reading(values[name])

        checks = {name: partial(problem, name) for name in DatabaseSettings.model_fields}
        found = self._sections.read(DatabaseSettings, self._section("databases"), "databases", checks)
        if found is None:
            return None
        placed = {
            name: SecretStr(databases.absolute(url, self._sections.folder)) for name, url in found.given().items()
        }
        return found.model_copy(update=placed)

    def _partners(self) -> PartnerSettings | None:
        section = PartnerSection(self._section("partners"), self._sections, self._problems)
        return section.read(self._draft.insecure_remedy)

    def _archive(self) -> ArchiveSettings | None:
        """The archive as the reference wrote it; without the section no name is written anywhere."""
        if "archive" not in self._root:
            return None
        checks = url_checks(self._draft.insecure_remedy)
        return self._sections.read(ArchiveSettings, self._section("archive"), "archive", checks)

    def _door(self) -> DoorSettings | None:
        """Who may come in by the network; without the section no address is listened at."""
        if "door" not in self._root:
            return None
        node = self._section("door")
        door = self._sections.read(DoorSettings, node, "door")
        if door is None:
            return None
        for key, text in door_problems(door):
            place = node.at((key,))
            self._problems.add(place.line, f"{node.key}.{key}", text)
        return door

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

    def _notifications(self) -> tuple[ChannelSettings, ...]:
        """The channels that can be read; what is wrong with others is among the problems."""
        node = self._section("notifications")
        if problem := node.unlike(list, "must be a list of channels, such as [{name: oncall, url: …}]"):
            self._problems.add(node.line, node.key, problem)
        checks = {"url": lambda values: _channel_problem(values["url"])}
        found: dict[str, ChannelSettings] = {}
        for each in node.items:
            if not (read := self._sections.read(ChannelSettings, each, "notifications", checks)):
                continue
            if (read.url is None) == (read.block is None):
                what = "has neither url nor block; give one of them" if read.url is None else "has url and block"
                self._problems.add(each.line, each.key, what if read.url is None else f"{what}; keep one of them")
            if read.on == ():
                on = each.at(("on",))
                self._problems.add(on.line, on.key, "is empty; give a value or remove the key")
            if read.name in found:
                name = each.at(("name",))
                self._problems.add(name.line, name.key, "is the name of another channel too; give each its own")
            found[read.name] = read
        return tuple(found.values())

    def _steps(self) -> tuple[list[Placed], set[str]]:
        """The steps that can be read, and the names of those that cannot."""
        node = self._section("pipeline")
        if problem := node.unlike(list, "must be a list of steps"):
            self._problems.add(node.line, node.key, problem)
            return [], set()
        if not node.items:
            text = "has no steps; give at least one, as deployments/examples have them"
            self._problems.add(node.line, self._draft.named("pipeline"), text)
        placed: list[Placed] = []
        unreadable: set[str] = set()
        previous: tuple[str, ...] = ()
        for each in node.items:
            if read := self._step(each, previous):
                placed.append(read)
                previous = (read.step.name,)
            else:
                start = each.at(("start",))
                unreadable.add(start.text or start.key)
        return placed, unreadable

    def _step(self, node: Node, previous: tuple[str, ...]) -> Placed | None:
        """A step, which comes after the `previous` one unless it says otherwise."""
        read = self._sections.read(StepSettings, node, "pipeline")
        if read is None:
            return None
        after = previous if read.after is None else read.after
        return Placed(Step(read.start, read.end, read.service, read.operation, after), node)

    def _check_states(self, lms: LmsSettings | None, placed: list[Placed]) -> None:
        node = self._section("lms").child("states")
        if isinstance(node.data, list):
            given = lms.states if lms and lms.states else [item.text for item in node.items]
            rules.states(given, node, self._problems)
            rules.order_of_states(placed, given, node, self._problems)
