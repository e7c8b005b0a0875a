"""The hashes of what a deployment installs, and the list of its components, are those of the pinned versions."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .source import ROOT
from .test_licences import OURS, installed_with

#: As in the Makefile.
EXTRAS = frozenset({"mail", "s3", "sftp"})
#: Libraries of extras whose licence stands in a file and not in their metadata (pyrage: MIT).
SILENT = {"pyrage"}
#: A requirement with its marker, and the lines of its hashes.
LOCKED = re.compile(r"^(\S+==\S+(?: ; [^\\\n]+)?) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def text_of(name: str) -> str:
    """A file at the top."""
    return (ROOT / name).read_text(encoding="utf-8")


def locked() -> dict[str, Requirement]:
    """What stands in the lock with a hash, by its name."""
    found = [Requirement(match[1]) for match in LOCKED.finditer(text_of("requirements.lock"))]
    return {canonicalize_name(each.name): each for each in found}


def version_of(requirement: Requirement) -> str:
    """The one version that a pinned requirement allows."""
    (pinned,) = requirement.specifier
    return pinned.version


def components() -> dict[str, str]:
    """The versions in the list of components, by name."""
    return {
        canonicalize_name(each["name"]): each["version"] for each in json.loads(text_of("sbom.cdx.json"))["components"]
    }


def test_every_library_of_a_deployment_is_locked_by_a_hash() -> None:
    """All that comes with the product and its extras, and each line of the file."""
    lines = [line for line in text_of("requirements.lock").splitlines() if re.match("[A-Za-z]", line)]

    assert len(lines) == len(locked())
    assert {canonicalize_name(each) for each in installed_with(OURS, EXTRAS)} <= locked().keys() | {OURS}


def test_the_lock_has_the_versions_that_the_tests_ran_with() -> None:
    """Where a version is pinned, the hashes are those of its files; `make hashes` writes them."""
    pinned = [Requirement(line) for line in text_of("constraints.txt").splitlines() if not line.startswith("#")]
    versions = {canonicalize_name(each.name): version_of(each) for each in pinned}
    others = {
        name: version_of(each) for name, each in locked().items() if versions.get(name) not in (None, version_of(each))
    }

    assert others == {}


def test_the_lock_is_within_the_ranges_of_the_product() -> None:
    """A range that was changed since needs a new lock."""
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    extras = [each for name in sorted(EXTRAS) for each in project["optional-dependencies"][name]]
    wanted = [Requirement(each) for each in [*project["dependencies"], *extras]]

    outside = [str(each) for each in wanted if version_of(locked()[canonicalize_name(each.name)]) not in each.specifier]

    assert outside == []


def test_the_list_of_components_is_that_of_the_lock() -> None:
    """What only other systems need has a marker, and may be missing; nothing else may."""
    here, known = components(), locked()

    assert {name: version for name, version in here.items() if version != version_of(known[name])} == {}
    assert {name for name, each in known.items() if each.marker is None} <= here.keys()


def test_the_list_of_components_has_licences_and_nothing_of_the_machine_or_the_day() -> None:
    """So the same lock gives the same file."""
    told: dict[str, Any] = json.loads(text_of("sbom.cdx.json"))

    assert (told["bomFormat"], told["metadata"]["component"]["name"]) == ("CycloneDX", OURS)
    assert "serialNumber" not in told
    assert "timestamp" not in told["metadata"]
    assert {each["name"] for each in told["components"] if not each.get("licenses")} <= SILENT
