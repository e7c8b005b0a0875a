"""A connector of somebody else: installed as a package, found by its entry point, used by a configuration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from retirement.config import load
from retirement.connectors.http import GenericHttp, GenericHttpSettings
from retirement.errors import ConfigError

EXAMPLE = Path(__file__).parents[1] / "example_connector"
SERVICE = "LIBRARY_CARDS"
CONFIGURATION = """\
lms: {url: "https://courses.example.com", client_id: worker, client_secret: made-up}
services:
  LIBRARY_CARDS: {url: "https://library.example.com", api_key: made-up}
  ANNEX: {connector: LIBRARY_CARDS, url: "https://annex.example.com", api_key: made-up}
pipeline:
  - {start: RETIRING_LIBRARY, end: LIBRARY_COMPLETE, service: LIBRARY_CARDS, operation: return_card}
  - {start: RETIRING_ANNEX, end: ANNEX_COMPLETE, service: ANNEX, operation: return_card}
  - {start: RETIRING_LMS, end: LMS_COMPLETE, service: LMS, operation: retirement_lms_retire}
"""
LOOK = """
import json, sys
from retirement.config import load
from retirement.connectors import registry
found = registry()
configuration = load(sys.argv[1]) if "LIBRARY_CARDS" in found else None
print(json.dumps({
    "services": sorted(found),
    "operations": sorted(found["LIBRARY_CARDS"].operations()) if configuration else [],
    "steps": [[step.service, step.operation] for step in configuration.pipeline] if configuration else [],
    "shown": repr(configuration),
}))
"""


@pytest.fixture(scope="module")
def site_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is built and installed into, without a network."""
    folder = tmp_path_factory.mktemp("example")
    # A copy: whatever a build leaves behind belongs into no checkout.
    ignored = shutil.ignore_patterns("__pycache__", "test_*", ".*")
    source = shutil.copytree(EXAMPLE, folder / "source", ignore=ignored)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "packages"), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "packages"


def look(folder: Path, *packages: Path) -> dict[str, object]:
    """What a process of its own finds with these packages beside ours."""
    file = folder / "retirement.yaml"
    file.write_text(CONFIGURATION, encoding="utf-8")
    file.chmod(0o600)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, packages))}
    command = [sys.executable, "-c", LOOK, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.processes
def test_an_installed_package_brings_its_connector(tmp_path: Path, site_packages: Path) -> None:
    """Steps may use it, under its own name and for a service of another name; its secrets are masked."""
    found = look(tmp_path, site_packages)

    assert SERVICE in str(found["services"])
    assert found["operations"] == ["return_card"]
    assert found["steps"] == [
        [SERVICE, "return_card"],
        ["ANNEX", "return_card"],
        ["LMS", "retirement_lms_retire"],
    ]
    assert "made-up" not in str(found["shown"])


@pytest.mark.processes
def test_without_the_package_nobody_knows_the_service(tmp_path: Path) -> None:
    """Nothing of ours names it."""
    assert SERVICE not in str(look(tmp_path)["services"])


def test_the_package_needs_nothing_but_the_kit() -> None:
    """Its imports are those that connectors of ours may have, so that copying it is all there is to it."""
    text = (EXAMPLE / "retirement_example_connector" / "__init__.py").read_text(encoding="utf-8")
    ours = {line.split()[1] for line in text.splitlines() if line.startswith("from retirement")}

    wire = {f"retirement.wire.{part}" for part in ("api", "auth", "reply", "wiring")}
    assert ours <= {"retirement.connectors", "retirement.errors", "retirement.learner"} | wire


def test_the_samples_of_the_document_load(tmp_path: Path) -> None:
    """All sections below one another, each for a service of a name of its own; secrets are masked."""
    text = (EXAMPLE.parents[1] / "docs" / "connectors.md").read_text(encoding="utf-8")
    sections: dict[str, Any] = {"lms": {"url": "https://courses.example.com", "client_id": "w", "client_secret": "s"}}
    for part in text.split("```yaml\n")[1:]:
        for name, section in yaml.safe_load(part.partition("```")[0]).items():
            sections[name] = {**sections.get(name, {}), **section} if isinstance(section, dict) else section
    steps = [("BADGES", "erase"), ("PAPER_FILE", "ask_a_person"), ("LMS", "retirement_lms_retire")]
    for service, operation in steps:
        states = {"start": f"RETIRING_{service}", "end": f"{service}_COMPLETE"}
        sections["pipeline"].append({**states, "service": service, "operation": operation})
    file = tmp_path / "retirement.yaml"
    file.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    file.chmod(0o600)
    found = load(file, environ={"CRM_KEY": "made-up-key", "BADGES_PASSWORD": "made-up-password"})

    assert [step.service for step in found.pipeline] == ["CRM", "BADGES", "PAPER_FILE", "LMS"]
    crm = found.services["CRM"]
    assert isinstance(crm, GenericHttpSettings)
    assert crm.answer.must_have == {"ok": True}
    assert GenericHttp.declared(crm)["erase"].follow_up
    assert "made-up" not in repr(found)


def test_a_mistake_in_a_declared_request_is_told_with_its_line(tmp_path: Path) -> None:
    """And with the key that it is in."""
    request = '{method: POST, path: /x, json: {who: "{mail}"}}'
    crm = f"CRM: {{connector: HTTP, url: 'https://x.example', jwt: true, probe: {{path: /}}, request: {request}}}"
    file = tmp_path / "retirement.yaml"
    lines = CONFIGURATION.splitlines()
    file.write_text("\n".join([lines[0], "services:", f"  {crm}", "pipeline:", lines[-1]]) + "\n", encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load(file)

    (problem,) = caught.value.args
    assert "retirement.yaml:3: services.CRM.request.json: who: {mail} is no placeholder" in problem
