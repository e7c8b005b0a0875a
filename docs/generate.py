"""Writes what is read from the code, docs/reference and the automations: `python -m docs.generate [--check]`.

`make docs` does that, and writes the two pages that only tests can tell.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import yaml
from pydantic.fields import FieldInfo

from retirement.cli import app
from retirement.cli.late import LateCommand
from retirement.connectors import Connector, FollowUp, Operation, Repeats, registry
from retirement.errors import RateLimited, RetirementError, ServiceError, Transient
from retirement.flows.kit.automations import silence_automations
from retirement.wire.reply import Reply, classify, translate

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
AUTOMATIONS = ROOT / "deployments" / "automations" / "silent-runs.yaml"
NOTE = "<!-- Written by `python -m docs.generate`; do not edit. -->"
#: Written by `python -m tests.contract --write` and `python -m tests.browser.buttons`: only tests see what really is.
ELSEWHERE = {"requests.md", "buttons.md"}
#: What stands in for the settings of a service when its operations are described.
NOWHERE = "https://service.example.com"
#: What a body can be, as `retirement.wire.reply` tells bodies apart.
KINDS = ("json", "empty", "text", "html", "unreadable")


def written() -> dict[Path, str]:
    """Every file that the code tells, with what stands in it."""
    pages = {"commands.md": commands, "operations.md": operations, "services.md": services, "errors.md": errors}
    return {FOLDER / name: page() for name, page in pages.items()} | {AUTOMATIONS: automations()}


def automations() -> str:
    """What `serve` makes on its server, for an operator whose server is another one; its first lines are kept."""
    heading = [each for each in _text(AUTOMATIONS).splitlines() if each.startswith("#")]
    made = yaml.safe_dump({"automations": silence_automations()}, sort_keys=False, allow_unicode=True, width=120)
    return _page(heading) + made


def commands() -> str:
    """Every command with its arguments and options."""
    lines = ["# Commands", "", NOTE, "", "Exit codes and what they mean are in [operating](../operating.md)."]
    for name, command in every_command():
        lines += ["", f"## `{name}`", "", _flat(command.help)]
        rows = [_parameter(each) for each in command.params if "--help" not in each.opts]
        if rows:
            lines += ["", *_table(("option", "default", "meaning"), rows)]
    return _page(lines)


def every_command() -> Iterator[tuple[str, Any]]:
    """Each command as it is typed, and its typer object."""
    yield from _commands_of("retirement", app)


def _commands_of(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    if command.hidden:
        return
    if isinstance(command, LateCommand):
        command = command.loaded()
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield name, command
    for each, child in below.items():
        yield from _commands_of(f"{name} {each}", child)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        shown = f"`{parameter.name.upper()}`"
    else:
        shown = ", ".join(f"`{option}`" for option in parameter.opts)
    if parameter.required:
        default = "*required*"
    else:
        default = "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"
    return shown, default, _flat(parameter.help)


def operations() -> str:
    """Every operation of every connector that we ship, with its declared policy."""
    heading = (
        "service",
        "operation",
        "what it does",
        "request",
        "needs",
        "finds by username",
        "destroys username",
        "absent on 404",
        "remarks",
    )
    rows = [
        _operation(connector, declared)
        for connector in registry().values()
        if connector.__module__.startswith("retirement.")
        for declared in connector.operations().values()
    ]
    return _page(
        [
            "# Operations",
            "",
            NOTE,
            "",
            "What a step may do, and the policy that is declared with it.",
            "`needs` is what the service is told about the learner.",
            "A step that finds the learner by username has to end before one of the same service destroys that name.",
            "`absent on 404`: the service's own 404 means that it holds nothing; an HTML page never does.",
            "",
            *_table(heading, rows),
        ]
    )


def _operation(connector: type[Connector], declared: Operation) -> tuple[str, ...]:
    nowhere = connector.Settings.model_construct(url=NOWHERE)
    destroys = connector.destroys_username(nowhere, declared.name).value
    remarks = []
    if declared.batch:
        remarks.append(f"up to {declared.batch} learners in one call, where `batch_size` says so")
    if declared.looks_up_in:
        remarks.append(f"looks the learner up in {declared.looks_up_in}, before the username is destroyed there")
    remarks += ["looks first whether it has been done"] * (declared.repeats is not Repeats.SAFE)
    if declared.status_only:
        remarks.append("any 2xx whose body reports no failure is its success: nothing more is known of this route")
    remarks += [f"best after `{declared.safer_after}`"] * bool(declared.safer_after)
    if declared.follow_up:
        remarks.append(_follow_up(declared.follow_up))
    if declared.comes_last:
        remarks.append("steps of this service that are told the username end before it")
    remarks += [f"done by `{declared.goes_with}`"] * bool(declared.goes_with)
    remarks += [f"refused in a pipeline: {declared.refused_because}"] * bool(declared.refused_because)
    return (
        f"`{connector.service}`",
        f"`{declared.name}`",
        declared.doc,
        f"`{declared.route.method} {declared.route.path}`" if declared.route else "none",
        ", ".join(sorted(f"`{need.value}`" for need in declared.needs)),
        _yes(declared.finds_by_username),
        "" if destroys == "no" else destroys,
        _yes(declared.absent_on_404),
        "; ".join(remarks),
    )


def _follow_up(when: FollowUp) -> str:
    again = f", and once more {_days(when.again)} after that" if when.again else ""
    return (
        f"asked about after {_days(when.first)}, then every {_days(when.every)}, until it confirms{again}; "
        f"overdue after {_days(when.overdue)}"
    )


def _days(span: timedelta) -> str:
    """In the largest unit that it is a whole number of."""
    for unit, seconds in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if span.total_seconds() % seconds == 0 and span.total_seconds() >= seconds:
            return f"{int(span.total_seconds() // seconds)} {unit}"
    return f"{span.total_seconds():g} seconds"


def services() -> str:
    """Every setting of every service, what the service allows, and the reference's keys for it."""
    lines = ["# Services", "", NOTE, "", "The sections below `services` in a configuration file."]
    for connector in registry().values():
        if not connector.__module__.startswith("retirement."):
            continue
        doc = _flat((connector.__doc__ or "").partition("\n")[0])
        lines += ["", f"## {connector.service}", "", doc, ""]
        fields = connector.Settings.model_fields.items()
        lines += _table(("setting", "default", "meaning"), [_setting(name, field) for name, field in fields])
        if limits := _limits(connector):
            lines += ["", f"Limits kept: {limits}."]
        if connector.reference_keys:
            pairs = ", ".join(f"`{theirs}` is `{ours}`" for theirs, ours in connector.reference_keys.items())
            lines += ["", f"In the configuration of the reference scripts: {pairs}."]
    return _page(lines)


def _setting(name: str, field: FieldInfo) -> tuple[str, str, str]:
    if field.is_required():
        default = "*required*"
    else:
        value = field.get_default(call_default_factory=True)
        default = "" if value in (None, "", (), {}) else f"`{str(getattr(value, 'value', value)).lower()}`"
    return f"`{name}`", default, _flat(field.description)


def _limits(connector: type[Connector]) -> str:
    limits = connector.limits
    told = [f"{limits.at_once} requests at a time"] if limits.at_once else []
    for beginning, rate in limits.rates.items():
        told.append(f"{rate.calls} in {rate.seconds:g} s{f' of `{beginning}`' if beginning else ''}")
    return ", ".join(told)


def errors() -> str:
    """Every status, every body and every broken connection, and the error that it becomes."""
    return _page(
        [
            "# Errors",
            "",
            NOTE,
            "",
            "What an answer means before the operation has had its say, asked of `retirement.wire.reply.classify`.",
            "What each error means for an operator is in [operating](../operating.md).",
            "",
            "## Answers",
            "",
            *_table(("status", "body", "error", "reason"), _answers()),
            "",
            "`RateLimited` takes the place of `Transient` where the answer says when to come back (`Retry-After`).",
            "",
            "## Broken exchanges",
            "",
            *_table(("httpx", "error", "reason", "may have been done"), sorted(_exchanges())),
            "",
            "## What happens next",
            "",
            "`row` and `outcome` are those of the learner who met the error, `exit code` and `flow` those of a command",
            "and of a flow run which it ends.",
            "",
            *_table(("error", "row", "other learners", "outcome", "exit code", "flow", "repeated"), _consequences()),
        ]
    )


def _consequences() -> Iterator[tuple[str, ...]]:
    for kind in error_classes():
        after = kind.consequence
        state = f"`{after.state or kind.__name__}` ({'failed' if after.is_failure else 'cancelled'})"
        outcome, code = f"`{after.ending.value}`", str(after.exit_code.value)
        yield f"`{kind.__name__}`", after.row.value, after.run.value, outcome, code, state, _yes(after.is_repeated)


def error_classes(root: type[RetirementError] = RetirementError) -> Iterator[type[RetirementError]]:
    """Every class of `retirement.errors` below a root, in the order in which they are drawn there."""
    for each in root.__subclasses__():
        if each.__module__ == RetirementError.__module__:
            yield each
            yield from error_classes(each)


def _answers() -> Iterator[tuple[str, str, str, str]]:
    """One row for each run of statuses whose bodies mean the same."""
    meanings: dict[int, dict[tuple[str, str], list[str]]] = {}
    for status in range(200, 600):
        by_meaning = meanings.setdefault(status, {})
        for kind in KINDS:
            error = classify(Reply("S", "R", status, kind, None))
            by_meaning.setdefault(_meaning(error), []).append(kind)
    start = 200
    for status in range(200, 600):
        if meanings.get(status + 1) == meanings[status]:
            continue
        span = f"{start}" if start == status else f"{start}–{status}"
        for (name, reason), kinds in meanings[status].items():
            yield span, "any" if len(kinds) == len(KINDS) else ", ".join(kinds), name, reason
        start = status + 1


def _meaning(error: ServiceError | None) -> tuple[str, str]:
    return ("success", "") if error is None else (f"`{type(error).__name__}`", error.reason)


def _exchanges() -> Iterator[tuple[str, str, str, str]]:
    for kind in _leaves(httpx.HTTPError):
        if issubclass(kind, httpx.HTTPStatusError):
            continue  # raised only by a method that is never called
        error = translate("S", "R", kind("never shown"))
        doubt = isinstance(error, Transient) and not isinstance(error, RateLimited) and error.in_doubt
        yield f"`{kind.__name__}`", f"`{type(error).__name__}`", error.reason, _yes(doubt)


def _leaves(kind: type[httpx.HTTPError]) -> Iterator[type[httpx.HTTPError]]:
    below = kind.__subclasses__()
    for each in below:
        yield from _leaves(each)
    if not below and kind.__module__.startswith("httpx"):
        yield kind


def _yes(fact: bool) -> str:
    return "yes" if fact else ""


def _flat(text: str | None) -> str:
    return " ".join((text or "").split())


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(heading)
    yield _row(columns)
    yield _row("---" for _ in columns)
    for row in rows:
        yield _row(cell.replace("|", "\\|") for cell in row)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def stale() -> list[Path]:
    """The files that are not what the code says now, with those of docs/reference that it says no more."""
    wanted = written()
    found = {path for path in FOLDER.glob("*") if path.name not in ELSEWHERE}
    return sorted(path for path in wanted.keys() | found if wanted.get(path) != _text(path))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """Writes the files; with `--check` says which are stale, and is 1 when there are any."""
    outdated = stale()
    if arguments == ["--check"]:
        for path in outdated:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run `make docs`\n")
        return 1 if outdated else 0
    if arguments:
        sys.stderr.write("usage: python -m docs.generate [--check]\n")
        return 2
    FOLDER.mkdir(exist_ok=True)
    wanted = written()
    for path in outdated:
        if path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
