"""Commands by name: the module of a command is imported when it is called, so that `--help` answers at once."""

from collections.abc import Iterable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from retirement.cli.examples import EXAMPLES

#: What an operator types for a value of each type.
_WORDS: dict[Any, str] = {
    bool: "",
    int: "NUMBER",
    float: "NUMBER",
    str: "TEXT",
    list[str]: "TEXT",
    Path: "PATH",
    datetime: "DATE",
}


class LateCommand(TyperCommand):
    """A command or a group of commands of which only name and help are known before it is called."""

    def __init__(self, name: str, place: str, help: str, *, hidden: bool = False) -> None:  # noqa: A002 - typer's word
        """`place` is `module:attribute` below `retirement.cli`: a function, or a `typer.Typer` with several."""
        super().__init__(name, help=help, hidden=hidden)
        self.module, _, self._attribute = place.partition(":")

    def loaded(self) -> Any:
        """The command itself, with its options."""
        found = getattr(import_module(f"retirement.cli.{self.module}"), self._attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(self.name)(found)
            found = alone
        command = typer.main.get_command(found)
        command.name = self.name
        # Typer shows each paragraph as a line.
        command.epilog = "\n\n".join(
            f"retirement {each}" for each in EXAMPLES.get(self.name or "", EXAMPLES.get(self.module, ()))
        )
        for each in (command, *getattr(command, "commands", {}).values()):
            _say_types(each.params)
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself, which is what typer invokes."""
        return self.loaded().make_context(info_name, args, parent, **extra)


def _say_types(parameters: Iterable[Any]) -> None:
    """Has the help name types in an operator's words. A typer that keeps no `type_descriptor` says them by itself."""
    for each in parameters:
        kind = getattr(getattr(each, "type_descriptor", None), "annotation", None)
        if each.metavar is None and each.param_type_name == "option":
            each.metavar = _WORDS.get(kind)
