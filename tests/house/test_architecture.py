"""The page on the architecture is true: rooms, floors, and every file that a document names."""

import re
from pathlib import Path

import pytest

from .source import ROOT, markdown
from .test_floors import FLOORS, SANDBOX

PAGE = ROOT / "docs" / "architecture.md"
#: What stands for a name that somebody chooses.
PLACEHOLDER = "NAME"
#: Documents that tell of their time, or of other repositories.
OF_THEIR_TIME = ("contract", "decisions")

current = [path for path in markdown() if path.parent.name not in OF_THEIR_TIME and path.name != "CHANGELOG.md"]


def test_rooms_and_floors_are_those_of_the_imports() -> None:
    """The table of the page is the table that the test of the floors uses."""
    rows = re.findall(r"^\| `([\w/.]+)` \| (\d+|beside) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    told = {path.removesuffix(".py").replace("/", "."): floor for path, floor in rows}

    assert told == {name: str(floor) for name, floor in FLOORS.items()} | {SANDBOX: "beside"}


@pytest.mark.parametrize("path", current, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    """Those of this repository, from its root; NAME stands for a name, so its folder has to exist."""
    named = re.findall(r"`((?:retirement|flows|tests|docs|deployments)/[\w./-]+)`", path.read_text(encoding="utf-8"))
    missing = {name for name in named if PLACEHOLDER not in name and not (ROOT / name).exists()}
    missing |= {name for name in named if PLACEHOLDER in name and not (ROOT / name).parent.is_dir()}

    assert missing == set()


TABLE = PAGE.read_text(encoding="utf-8").partition("Where do I put")[2]


def test_the_page_answers_where_new_things_go() -> None:
    """The eight questions that a newcomer asks."""
    rows = re.findall(r"^\| ([\w ]+) \| .*`", TABLE, flags=re.MULTILINE)

    assert set(rows) >= {
        "connector",
        "fault class",
        "command",
        "LMS endpoint",
        "flow",
        "ledger table",
        "setting",
        "fault of the sandbox",
    }


def test_every_name_of_a_row_stands_in_a_file_of_it() -> None:
    """A register that was renamed, or moved to another file, is not looked for in vain."""
    for row in re.findall(r"^\|.*`.*$", TABLE, flags=re.MULTILINE):
        named = set(re.findall(r"`(\w+)`", row)) - {PLACEHOLDER}
        text = "".join(_text(ROOT / path) for path in re.findall(r"`([\w./-]+[./][\w./-]+)`", row))
        assert {name for name in named if not re.search(rf"\b{name}\b", text)} == set(), row


def _text(path: Path) -> str:
    """A file, or every module of a folder; of a file that is not there yet those beside it."""
    folder = path.parent if PLACEHOLDER in path.name else path
    files = sorted(folder.glob("*.py")) if folder.is_dir() else [path] if path.is_file() else []
    return "".join(each.read_text(encoding="utf-8") for each in files)
