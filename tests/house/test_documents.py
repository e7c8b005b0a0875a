"""What the documents say is so: generated pages, settings, commands, links."""

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from pydantic import BaseModel

from docs import generate
from retirement import config
from retirement.connectors import registry
from retirement.errors import Ending, ExitCode, RetirementError, RunAfter, SamePerson

from .source import ROOT, headings, links, markdown, typed

CONFIGURATION = ROOT / "docs" / "configuration.md"
OPERATING = ROOT / "docs" / "operating.md"
CONTRACTS = ROOT / "docs" / "contract"
COMMANDS = dict(generate.every_command())

documents = pytest.mark.parametrize("path", markdown(), ids=lambda path: path.relative_to(ROOT).as_posix())


def test_what_is_read_from_the_code_is_fresh() -> None:
    """`make docs` writes it again."""
    assert generate.stale() == []


def test_every_command_and_option_has_help() -> None:
    """The generated page can say no more than the code does."""
    assert [name for name, command in COMMANDS.items() if not command.help] == []
    assert [(name, each.name) for name, command in COMMANDS.items() for each in command.params if not each.help] == []


def test_every_command_is_met_in_the_prose() -> None:
    """In the README or the operator's guide, not only in the reference."""
    prose = (ROOT / "README.md").read_text(encoding="utf-8") + OPERATING.read_text(encoding="utf-8")

    assert [name for name in COMMANDS if not re.search(rf"{name}\b", prose)] == []


def _settings() -> Iterator[tuple[str, type[BaseModel]]]:
    """Found and not listed, so that a new class of settings cannot be forgotten."""
    for module in [import_module(each.name) for each in iter_modules(config.__path__, f"{config.__name__}.")]:
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.__name__:
                yield name, kind
    for service, connector in registry().items():
        yield service, connector.Settings


@pytest.mark.parametrize(("name", "kind"), list(_settings()))
def test_every_setting_is_described_and_documented(name: str, kind: type[BaseModel]) -> None:
    """The description stands next to the field and, word for word, in the guide or in the generated page."""
    text = CONFIGURATION.read_text(encoding="utf-8") + generate.services()
    for key, field in kind.model_fields.items():
        assert field.description, f"{name}.{key}"
        assert field.description in text, f"{name}.{key}"


@pytest.mark.parametrize("ending", Ending)
def test_every_ending_is_explained_to_the_operator(ending: Ending) -> None:
    """Under the name that the command line prints and the one that Prefect shows."""
    assert f"| `{ending.value}` | `{ending.state}`" in OPERATING.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", list(generate.error_classes()))
def test_every_error_is_explained_to_the_operator(kind: type[RetirementError]) -> None:
    """One row: a failed step shows the name of its error as its state; outcome and exit code are the class' own."""
    after = kind.consequence
    row = re.escape(f"| `{after.ending.value}` | {after.exit_code.value} |")

    assert len(re.findall(rf"^\| `{kind.__name__}` \|.* {row}$", _errors_of_the_guide(), flags=re.MULTILINE)) == 1


def test_the_operator_reads_of_no_error_that_is_gone() -> None:
    """Each row of the table of errors is a class."""
    rows = re.findall(r"^\| `(\w+)`", _errors_of_the_guide(), flags=re.MULTILINE)

    assert sorted(rows) == sorted(kind.__name__ for kind in generate.error_classes())


def test_the_operator_reads_of_every_error_that_ends_a_queue_run() -> None:
    """Under the name of the final state; a second yes of one person is refused where it is said, and ends no run."""
    kinds = [each for each in generate.error_classes() if each.consequence.run is not RunAfter.GOES_ON]
    table = OPERATING.read_text(encoding="utf-8").partition("What became of a queue run\n")[2].partition("\n## ")[0]
    told = {
        name for row in re.findall(r"^\|([^|]*)\|", table, flags=re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }

    assert {each.consequence.state or each.__name__ for each in kinds} - told == {SamePerson.__name__}


def _errors_of_the_guide() -> str:
    text = OPERATING.read_text(encoding="utf-8")
    return text[text.index("| error | means |") : text.index("Which answer becomes which error")]


def test_every_exit_code_is_explained_to_the_operator() -> None:
    """In the guide and in the README, in their order."""
    for path in (OPERATING, ROOT / "README.md"):
        text = path.read_text(encoding="utf-8")
        table = text[text.index("## Exit codes") :].split("\n\n")[1]
        assert re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE) == [str(code.value) for code in ExitCode]


@documents
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    """To a file that is there and to a heading that is in it."""
    for link in links(path):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), link


@documents
def test_commands_in_documents_exist(path: Path) -> None:
    """Every `retirement` command and option, and every target of make, that somebody may copy."""
    for words in typed(path):
        if words[0] == "retirement":
            _is_a_command(words)
        elif words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(targets) <= _targets(), shlex.join(words)


def _is_a_command(words: list[str]) -> None:
    line = " ".join(words)
    found = [name for name in COMMANDS if line == name or line.startswith(f"{name} ")]
    if words[1:] == ["--help"]:
        return
    assert found, f"{line}: there is no such command"
    known = {option for each in COMMANDS[max(found, key=len)].params for option in each.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"} <= known, line


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


@documents
def test_documents_have_one_sentence_a_line(path: Path) -> None:
    """A change then shows as the sentence that changed. Tables and blocks are as they have to be."""
    if path.parent == CONTRACTS:
        return
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    prose = [line for line in text.splitlines() if not line.startswith("|")]

    assert [line for line in prose if re.search(r"[a-z)`][.?!] [A-Z]", line)] == []


def test_the_readme_begins_with_what_it_is_and_how_to_see_it() -> None:
    """A stranger's first screen: a sentence, then the two commands."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert text.index("$ make demo") < text.index("$ make test") < text.index("## Use it on a site")


def test_the_changelog_has_a_place_for_the_next_entry() -> None:
    """Whoever changes what operators notice writes it there."""
    assert "\n## Unreleased\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_decisions_are_numbered_and_say_the_same_four_things() -> None:
    """Context, decision, consequences and what was rejected, so that nobody decides twice."""
    found = sorted((ROOT / "docs" / "decisions").glob("*.md"))

    assert [int(path.name[:4]) for path in found] == list(range(1, len(found) + 1))
    for path in found:
        wanted = {"context", "decision", "consequences", "rejected"}
        assert wanted <= headings(path), path.name
