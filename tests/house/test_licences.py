"""The licences of what is installed with the product, so that a site may install it, change it and hand it on."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OURS = "openedx-retirement"
#: Words of the licences that go with Apache-2.0 in one installation. The LGPL is there for libraries that are
#: imported as they are; GPL and AGPL are not.
ALLOWED = re.compile(
    r"MIT|BSD|Apache|\bISC\b|MPL[- ]2\.0|Mozilla Public License 2\.0|PSF|Python Software Foundation|LGPL-3\.0-only|CNRI"
)
#: The licence that we choose where a project offers several, or says it elsewhere than in its metadata.
CHOSEN = {
    "text-unidecode": "Artistic License",  # or the GPL, as its user chooses
}


def licences(found: Distribution) -> list[str]:
    """What a distribution says about its licence: an expression, else classifiers, else a text."""
    said = found.metadata
    if expression := said.get("License-Expression"):
        return [str(expression)]
    classifiers = [str(each) for each in said.get_all("Classifier") or [] if str(each).startswith("License ::")]
    named = [each.split("::")[-1].strip() for each in classifiers if each != "License :: OSI Approved"]
    return named or [str(said.get("License") or "none")]


def installed_with(name: str, extras: frozenset[str] = frozenset()) -> set[str]:
    """The distributions that come with one, by the requirements that hold here."""
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [(name, extras)]
    while left:
        each = left.pop()
        if each in seen:
            continue
        seen.add(each)
        for text in distribution(each[0]).requires or []:
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in (*each[1], "")):
                left.append((needed.name, frozenset(needed.extras)))
    return {found for found, _ in seen} - {name}


@pytest.mark.parametrize("name", sorted(installed_with(OURS)))
def test_what_is_installed_with_the_product_has_a_licence_that_goes_with_ours(name: str) -> None:
    """Each library, also those that libraries bring."""
    said = licences(distribution(name))

    assert name in CHOSEN or all(ALLOWED.search(each) for each in said), f"{name}: {said}"


def test_the_product_says_its_licence() -> None:
    """In the metadata, and as a file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "Version 2.0" in (ROOT / "LICENSE").read_text(encoding="utf-8")
