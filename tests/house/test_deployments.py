"""The shapes that others copy: examples, prefect.yaml, systemd, compose, Kubernetes."""

import configparser
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from retirement.config import load
from retirement.flows.deployments import OFFERS
from tests.browser import buttons
from tests.plain.scheduled import plans

from .source import ROOT

DEPLOYMENTS = ROOT / "deployments"
PREFECT = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
VARIABLES = {"RETIREMENT_CLIENT_SECRET": "secret", "RETIREMENT_LMS_CLIENT_SECRET": "secret"}


def manifests() -> list[dict[str, Any]]:
    """Every object of the Kubernetes folder."""
    found = sorted((DEPLOYMENTS / "kubernetes").glob("*.yaml"))
    return [each for path in found for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", sorted(DEPLOYMENTS.rglob("*.y*ml")), ids=lambda path: path.name)
def test_every_yaml_file_can_be_read(path: Path) -> None:
    """With the safe loader: nothing here needs tags."""
    assert list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted((DEPLOYMENTS / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_a_configuration(path: Path, tmp_path: Path) -> None:
    """What somebody copies has to load once its secret is there."""
    (tmp_path / "client_secret.txt").write_text("secret")
    copy = tmp_path / path.name
    copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")

    assert len(load(copy, environ=VARIABLES).pipeline) > 0


@pytest.mark.parametrize("deployment", PREFECT["deployments"], ids=lambda deployment: deployment["name"])
def test_entrypoints_are_flows(deployment: dict[str, Any]) -> None:
    """Prefect finds out only when the first run starts."""
    path, _, name = deployment["entrypoint"].partition(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))

    assert (ROOT / path).is_file()
    assert type(getattr(module, name)).__name__ == "Flow"


def test_prefect_yaml_has_what_is_declared() -> None:
    """`serve` reads the declaration itself; the file is for `prefect deploy`."""
    assert PREFECT["deployments"] == [each.document for each in OFFERS]


def test_the_table_of_buttons_has_every_deployment() -> None:
    """One that it has not is clicked by no test, and is missing in docs/reference/buttons.md."""
    assert set(buttons.FLOWS) == {each.name for each in OFFERS}


def test_queue_reconciler_and_follow_up_are_scheduled() -> None:
    """As `retirement serve` has them; a learner is retired, and forgotten, on request only."""
    scheduled = [each["name"] for each in PREFECT["deployments"] if each.get("schedules")]

    assert scheduled == ["queue", "reconcile", "verify"]


def test_make_plain_has_a_scheduled_run_of_every_deployment() -> None:
    """A deployment that is added here is seen to run on a server of one's own."""
    assert plans(len).keys() == {each.name for each in OFFERS}


def test_no_deployment_has_a_concurrency_limit() -> None:
    """A run that pauses loses its place under such a limit, and Prefect kills it at the next renewal of the lease."""
    assert [each["name"] for each in PREFECT["deployments"] if "concurrency_limit" in each] == []
    flows = (ROOT / "retirement" / "flows").rglob("*.py")
    assert [path.name for path in flows if "concurrency_limit=" in path.read_text(encoding="utf-8")] == []


def test_the_systemd_unit_runs_without_rights() -> None:
    """With its own user, its own folder and a secret that only the service manager reads."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(DEPLOYMENTS / "systemd" / "retirement.service")
    service = unit["Service"]

    assert service["User"] == "retirement"
    assert service["Environment"].split()[0] == "RETIREMENT_HOME=/var/lib/" + service["StateDirectory"]
    assert service["ExecStart"].split()[1] == "serve"
    assert service["LoadCredential"].startswith("client_secret:")


def test_the_container_is_not_root_and_keeps_its_home() -> None:
    """The image, compose and Kubernetes agree on user and folder."""
    image = (DEPLOYMENTS / "compose" / "Dockerfile").read_text(encoding="utf-8")
    compose = yaml.safe_load((DEPLOYMENTS / "compose" / "compose.yaml").read_text(encoding="utf-8"))
    service = compose["services"]["retirement"]

    assert re.search(r"^USER 10001$", image, flags=re.MULTILINE)
    assert re.search(r"RETIREMENT_HOME=/var/lib/retirement\b", image)
    assert service["user"] == "10001"
    assert "home:/var/lib/retirement" in service["volumes"]
    assert "environment" not in service


def test_the_cron_job_never_runs_twice_at_once_and_gets_its_secret_from_a_secret() -> None:
    """A value written into the manifest would be in everybody's history."""
    job = next(each for each in manifests() if each["kind"] == "CronJob")["spec"]
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    secret = next(each for each in container["env"] if each["name"] == "RETIREMENT_CLIENT_SECRET")

    assert job["concurrencyPolicy"] == "Forbid"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert "secretKeyRef" in secret["valueFrom"]
    assert "/var/lib/retirement" in [mount["mountPath"] for mount in container["volumeMounts"]]
