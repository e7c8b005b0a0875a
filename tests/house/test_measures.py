"""Bounds on what `make measure` prints."""

import pytest

from .measure import complexities, duplicates, percentile, product, pronouns
from .source import ROOT, Module, markdown

#: As radon counts; mccabe's bound of 10 is ruff's.
MOST_COMPLEX = 12
#: Nine functions of ten are no more complex than that.
USUAL_COMPLEXITY = 6
#: Of the six pronouns in a thousand lines.
PRONOUNS_PER_THOUSAND = 2.0


def test_no_function_is_hard_to_follow() -> None:
    """A reader keeps a dozen ways through a function in mind and no more."""
    over = {(each.place, each.name) for each in complexities(product(sandbox=False)) if each.complexity > MOST_COMPLEX}

    assert over == set()


def test_most_functions_are_simple() -> None:
    """The ninetieth percentile, which one long function does not move."""
    assert percentile(sorted(each.complexity for each in complexities(product(sandbox=False))), 90) <= USUAL_COMPLEXITY


def test_nothing_is_written_twice() -> None:
    """Ten equal lines in two places are one function."""
    assert duplicates(product(sandbox=True)) == []


def test_equal_lines_are_found() -> None:
    """Wherever they stand and however they are indented; without imports and comments."""
    text = "".join(f"import os  # {number}\nvalue_{number} = {number}\n\n" for number in range(10))
    found = [Module(name, ROOT / name) for name in ("one", "other")]
    for module in found:
        vars(module)["text"] = text

    assert duplicates(found) == [("one:2", "other:2")]


#: Rooms whose sentences name what they are about.
PLAIN = (
    *(
        "api",
        "certificate",
        "cli",
        "config",
        "connectors",
        "flows",
        "followup",
        "ledger",
        "lms",
        "partners",
        "pipeline",
    ),
    *("queue", "residue", "retire", "site", "wire"),
)


@pytest.mark.parametrize("folder", ["docs", *(f"retirement/{room}" for room in PLAIN)])
def test_sentences_have_nouns(folder: str) -> None:
    """*Learner*, *run*, *request* and *row* tell a reader of any language more than *somebody* and *whom*."""
    paths = [path for path in markdown() if path.parent.name != "contract" and path.name != "CHANGELOG.md"]
    if folder != "docs":
        paths = sorted((ROOT / folder).rglob("*.py"))

    assert pronouns(path.read_text(encoding="utf-8") for path in paths)[1] <= PRONOUNS_PER_THOUSAND
