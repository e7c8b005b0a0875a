"""From a path to a `Configuration`: every check, in the order in which one depends on another."""

import os
import stat
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from retirement.config import cron, databases, dialects, document, rules
from retirement.config.document import Node
from retirement.config.draft import Draft
from retirement.config.problems import Problems
from retirement.config.references import References, SecretBlock
from retirement.config.rules import Placed
from retirement.config.sections import Sections
from retirement.config.services import Services, Telling
from retirement.config.settings import (
    BreakerSettings,
    Configuration,
    DatabaseSettings,
    GeneralSettings,
    GuardSettings,
    LedgerSettings,
    LmsSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
)
from retirement.connectors import Connector, ServiceSettings, registry
from retirement.pipeline import STATE_NAME_LENGTH, Pipeline, Step

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
    draft = dialects.draft(root, problems, known) if root else None
    if draft is None:
        raise problems.error
    exposed = _others_can_read(file)

    def telling(told: Problems) -> Sections:
        return Sections(draft, References(file.parent, environ, secret_block, told, exposed=exposed), told)

    return _Loader(draft, telling, known, problems).configuration()


def _others_can_read(file: Path) -> bool:
    mode = file.stat().st_mode
    return stat.S_ISREG(mode) and bool(mode & (stat.S_IRGRP | stat.S_IROTH))


def _path_problem(path: str) -> str | None:
    return None if path.isprintable() else "holds characters that no path has"


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
        queue = self._sections.read(QueueSettings, self._section("queue"), "queue")
        guard = self._sections.read(GuardSettings, self._section("guard"), "guard")
        retry = self._sections.read(RetrySettings, self._section("retry"), "retry")
        breaker = self._breaker()
        ledger = self._ledger()
        stores = self._databases()
        general = self._general()
        placed, unreadable = self._steps()
        sound = [each for each in placed if not self._services.misnamed(each.step.service)]
        known = rules.known(sound, self._connectors, self._problems)
        services = self._services.read(lms, known)
        rules.repeated(known, self._connectors, self._problems)
        steps = rules.shape(placed, unreadable, self._problems)
        self._check_states(lms, placed)
        if steps and len(known) == len(placed):
            self._check_order(steps, placed, services)
        if self._problems or not (
            lms and ledger and queue and guard and retry and breaker and stores and general and steps
        ):
            raise self._problems.error
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
            databases=stores,
            services=services,
            connectors=self._meant(steps),
            pipeline=steps,
            warnings=self._problems.warnings,
        )

    def _check_order(self, steps: Pipeline, placed: list[Placed], services: Mapping[str, ServiceSettings]) -> None:
        remedy = "set services.LMS.forum"
        if self._draft.dialect != "own":
            remedy = "convert the file (`config import`) and set services.LMS.forum"
        rules.identity(steps, placed, self._connectors, services, self._problems, remedy=remedy)
        rules.sessions(steps, placed, self._connectors, services, self._problems)

    def _meant(self, steps: Pipeline) -> dict[str, type[Connector]]:
        """Those that the file names are part of what it means, whether or not a step uses them."""
        used = {step.service for step in steps} | set(self._services.named)
        return {name: each for name, each in self._connectors.items() if name in used}

    def _section(self, name: str) -> Node:
        return self._root.get(name) or Node(None, 1, name)

    def _general(self) -> GeneralSettings | None:
        given = {name: node for name, node in self._root.items() if name in GeneralSettings.model_fields}
        checks = {
            "schedule": lambda values: cron.problem_of(values["schedule"]),
            "reconcile_schedule": lambda values: cron.problem_of(values["reconcile_schedule"]),
            "verify_schedule": lambda values: cron.problem_of(values["verify_schedule"]),
            "archive_schedule": lambda values: cron.problem_of(values["archive_schedule"]),
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

    def _databases(self) -> DatabaseSettings | None:
        """As of the ledger: the path of a SQLite file starts at the folder of this one."""

        def problem(name: str, values: Mapping[str, Any]) -> str | None:
            return databases.problem_of_reading(values[name])

        checks = {name: partial(problem, name) for name in DatabaseSettings.model_fields}
        found = self._sections.read(DatabaseSettings, self._section("databases"), "databases", checks)
        if found is None:
            return None
        folder = Path(self._problems.source).absolute().parent
        placed = {name: SecretStr(databases.absolute(url, folder)) for name, url in found.given().items()}
        return found.model_copy(update=placed)

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
