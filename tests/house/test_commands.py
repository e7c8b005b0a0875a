"""The command line from outside: what `--help` says and loads, and names that still work."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from retirement import __version__
from retirement.cli import COMMANDS, app
from retirement.cli.examples import EXAMPLES
from retirement.cli.late import LateCommand

#: What `retirement --help` has no use for, and what takes most of the time of a start.
HEAVY = ("sqlalchemy", "alembic", "prefect", "fpdf", "httpx", "uvicorn", "pydantic")


def said(*arguments: str) -> str:
    """What the command prints, in a process of its own."""
    command = [sys.executable, "-m", "retirement", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.processes
def test_help_loads_no_library_that_it_does_not_use() -> None:
    """An operator who asks for help, and a shell that completes, wait for none of them."""
    code = f"""
import sys
from retirement.cli import app
try:
    app(["--help"])
except SystemExit:
    sys.exit(", ".join(name for name in {HEAVY!r} if name in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert "retire-learner" in done.stdout


@pytest.mark.processes
def test_no_command_loads_what_only_migrations_of_a_ledger_use() -> None:
    """It would be a tenth of each command's imports."""
    modules = ", ".join(sorted({f"retirement.cli.{each.module}" for each in COMMANDS}))
    code = f"import sys, {modules}; sys.exit('alembic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_has_the_help_that_the_list_of_commands_shows(command: LateCommand) -> None:
    """The list is printed without loading the command, so it holds the sentence a second time."""
    assert command.hidden or command.loaded().help == command.help


@pytest.mark.parametrize("command", [each for each in COMMANDS if not each.hidden], ids=lambda command: command.name)
def test_the_help_of_a_command_has_examples_that_the_command_takes(command: LateCommand) -> None:
    """A value that is wrong or a word that is unknown raises; nothing is called."""
    examples = EXAMPLES.get(command.name, ())

    assert examples
    for each in examples:
        name, *arguments = shlex.split(each)
        assert name == command.name
        below = command.loaded().make_context(name, arguments)
        if rest := [*below._protected_args, *below.args]:
            below.command.commands[rest[0]].make_context(rest[0], rest[1:], parent=below)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_a_command_has_no_type_of_python(command: LateCommand) -> None:
    """Options take a NUMBER, a TEXT, a PATH or a DATE; a switch takes nothing."""
    loaded = command.loaded()
    for each in (loaded, *getattr(loaded, "commands", {}).values()):
        options = [param for param in each.params if param.param_type_name == "option"]
        assert {param.metavar for param in options} <= {"NUMBER", "TEXT", "PATH", "DATE", "", None}
        assert [param.name for param in options if param.metavar is None] in ([], ["form"])


@pytest.mark.processes
def test_a_shell_completes_commands_and_options() -> None:
    """Also those of commands that are imported when they are called."""
    assert "redrive" in completed("retirement redr", 1)
    assert "--since" in completed("retirement redrive --si", 2)


def completed(words: str, place: int) -> str:
    """What bash is offered for the word at a place."""
    code = "import sys; sys.argv = ['retirement']; from retirement.cli import main; main()"
    variables = {"_RETIREMENT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **variables}, check=False, capture_output=True, text=True)
    return done.stdout


def options() -> Iterator[tuple[str, set[str]]]:
    """Every command, those of groups too, and the options that it takes."""
    for named in COMMANDS:
        loaded = named.loaded()
        for name, each in getattr(loaded, "commands", {"": loaded}).items():
            yield f"{named.name} {name}".strip(), {option for one in each.params for option in one.opts}


def test_a_command_that_takes_a_user_id_takes_a_name_in_its_place() -> None:
    """An operator who has a letter of a learner has an address, and no user id."""
    of_learners = {name: taken for name, taken in options() if "--user-id" in taken}

    assert {"status", "retire-learner", "hold add", "cancel", "certificate", "residue"} < set(of_learners)
    assert [name for name, taken in of_learners.items() if not {"--username", "--email"} <= taken] == []


@pytest.mark.parametrize("command", ["cancel", "residue", "retire-learner"])
def test_a_command_about_one_learner_needs_exactly_one(command: str) -> None:
    """And says which options name one; nothing is read or asked before."""
    for given in ([], ["--user-id", "7", "--email", "-"], ["--username", "-", "--email", "-"]):
        answer = CliRunner().invoke(app, [command, *given], input="")
        assert (answer.exit_code, "--user-id, --username and --email" in " ".join(answer.output.split())) == (2, True)


@pytest.mark.processes
def test_the_version_is_an_option_and_a_command() -> None:
    """Packagers ask with the one, scripts have the other."""
    assert said("--version").strip() == said("version").strip() == __version__


@pytest.mark.processes
def test_h_is_help() -> None:
    """On the command itself and on those below it."""
    assert said("-h") == said("--help")
    assert "--user-id" in said("cancel", "-h")


@pytest.mark.processes
def test_archive_is_still_the_name_of_cleanup() -> None:
    """For one release: scripts and crontabs have it."""
    assert said("archive", "--help").replace("archive", "cleanup") == said("cleanup", "--help")
