"""The learner that a command is about: `--user-id`, and `--username` and `--email` in its place, for each command.

A command has a parameter `user_id` and knows of no names: what is typed instead is found before the command starts.
"""

import inspect
from collections.abc import Collection, Sequence
from typing import Annotated, Any

import typer

from retirement.cli.names import NAMES, asked_for
from retirement.cli.options import within_ids
from retirement.config import Configuration

_USER_ID = Annotated[
    int | None, typer.Option("--user-id", min=1, callback=within_ids, help="LMS user id of one learner.")
]


def with_names(parameters: Sequence[inspect.Parameter]) -> list[inspect.Parameter]:
    """The parameters of a command, each of which may be left out, with a learner's names beside `user_id`."""
    made: list[inspect.Parameter] = []
    for each in parameters:
        if each.name == "user_id":
            made += [_option("user_id", _USER_ID), *(_option(name, _annotation(name)) for name in _added(parameters))]
        else:
            made.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    return made


def typed(parameters: Sequence[inspect.Parameter], given: dict[str, Any]) -> tuple[str, str] | None:
    """Takes a learner's name out of what was given, asks for it, and returns its kind and text; None without one.

    Raises `typer.BadParameter` for two learners, and for none where the command needs one; `ConfigError`.
    """
    added = _added(parameters)
    names = {name: given.pop(name) for name in added}
    ways = ["--user-id", *(f"--{name}" for name in added)]
    used = [name for name, value in names.items() if value is not None]
    chosen = len(used) + (given.get("user_id") is not None)
    if added and (chosen > 1 or (not chosen and _is_required(parameters))):
        raise typer.BadParameter(f"give one of {', '.join(ways[:-1])} and {ways[-1]}")
    for name in used:
        if text := asked_for(f"--{name}", names[name]):
            return name, text
    return None


async def user_id_of(configuration: Configuration, kind: str, text: str) -> int:
    """The user id of the learner with this name. Raises `ConfigError`, `ServiceError` and `LedgerError`."""
    # A command without such an option needs neither LMS nor ledger for it.
    from retirement.site import opened
    from retirement.site.by_name import Name, find

    async with opened(configuration) as site:
        return await find(site, Name(kind, text))


def _added(parameters: Sequence[inspect.Parameter]) -> list[str]:
    """The names that a command with `user_id` does not have for a purpose of its own."""
    own = {each.name for each in parameters}
    return [name for name in NAMES if name not in own] if "user_id" in own else []


def _is_required(parameters: Collection[inspect.Parameter]) -> bool:
    return any(each.name == "user_id" and each.default is inspect.Parameter.empty for each in parameters)


def _option(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _annotation(name: str) -> Any:
    text = f"- to be asked for the learner's original {NAMES[name]}, or to pipe it in; it is not kept."
    return Annotated[str | None, typer.Option(f"--{name}", help=text)]
