"""What must not get into the repository."""

import re

from .source import ROOT, files

#: Where some machine has its packages or its checkouts; none of it is true elsewhere.
STRAY = re.compile(
    r"https?://[\w.-]*(pypi|pythonhosted|npmjs|artifactory|devpi|nexus)[\w.-]*/"
    r"|--(extra-)?index-url|--find-links|file:///"
    r"|/(work|root|Users)/\w|/home/\w+/|/tmp/\w",
)
#: Files whose subject these are.
EXEMPT = {"tests/house/test_tracked_files.py"}
LARGEST = 500_000


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """Registry hosts, home folders and checkouts are the business of each machine."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8", errors="ignore") for path in files()}
    found = {place: match[0] for place, text in texts.items() if (match := STRAY.search(text))}

    assert {place: what for place, what in found.items() if place not in EXEMPT} == {}


def test_files_are_small() -> None:
    """Data and builds live elsewhere."""
    assert {path.name: path.stat().st_size for path in files() if path.stat().st_size > LARGEST} == {}


def test_no_file_has_the_marks_of_a_merge() -> None:
    """A stored version of the reference driver has them in it."""
    marks = re.compile(rb"^(<{7}|>{7}) ", flags=re.MULTILINE)

    assert [path.name for path in files() if marks.search(path.read_bytes())] == []
