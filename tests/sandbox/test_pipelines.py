"""The named pipelines are plain data that fits together."""

from __future__ import annotations

import pytest

from retirement.sandbox import pipelines

URLS = {name: f"http://127.0.0.1/{name}" for name in ("lms", "credentials", "license_manager", "notes", "control")}
WORKER = {"client_id": "a", "client_secret": "b"}


@pytest.mark.parametrize("name", pipelines.PIPELINES)
def test_states_are_valid_for_the_management_command(name: str) -> None:
    """PENDING first, the three dead ends last, nothing twice (contract lms.md 2.3)."""
    states = pipelines.states(name)

    assert (states[0], states[-3:]) == ("PENDING", ["ERRORED", "ABORTED", "COMPLETE"])
    assert len(states) == len(set(states)) == 4 + 2 * len(pipelines.PIPELINES[name])
    assert all(len(state) <= 30 for state in states)


def test_the_dag_has_the_steps_of_the_default_with_retire_last() -> None:
    """Only the order is freer: enrollments first, then those between at once, misc, retire."""
    dag = pipelines.PIPELINES["dag"]

    line = [{key: value for key, value in step.items() if key != "after"} for step in dag]
    assert line == pipelines.PIPELINES["default"]
    assert dag[0]["after"] == []
    between = dag[1:-2]
    assert [step["after"] for step in between] == [["RETIRING_ENROLLMENTS"]] * len(between)
    assert dag[-2]["after"] == [step["start"] for step in between]
    assert dag[-1]["after"] == ["RETIRING_LMS_MISC"]


def test_a_configuration_names_only_the_services_it_uses() -> None:
    """The LMS has its own place in the file."""
    default = pipelines.configuration("default", URLS, WORKER)
    minimal = pipelines.configuration("minimal", URLS, WORKER)

    used = {step["service"] for step in pipelines.PIPELINES["default"]} - {"LMS"}
    expected = {service: {"url": URLS[service.lower()]} for service in used}
    assert default["services"] == expected
    assert default["lms"] == {"url": URLS["lms"], **WORKER}
    assert minimal["services"] == {}
