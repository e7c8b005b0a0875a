"""What may be asked of Prefect through the door: every route of its API, by path and method, and no other reading."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from retirement.api.prefect_rules import OF_FLOWS, Kind, Rule, rule_of
from retirement.flows.kit.names import FLOWS, JOBS
from retirement.ledger import EVERYTHING, Action

NAMED = re.compile(r"{\w+}")
VIEW, MONITOR = frozenset({Action.VIEW.value}), frozenset({Action.MONITOR.value})
#: Requests by GET and POST that read, and are left out on purpose.
SECRET = {"GET /block_documents/{id}", "POST /block_documents/filter"}
#: What changes something and is permitted.
CHANGES = {
    "POST /deployments/{id}/create_flow_run",
    "POST /deployments/{id}/pause_deployment",
    "POST /deployments/{id}/resume_deployment",
    "PATCH /deployments/{id}/schedules/{schedule_id}",
    "POST /flow_runs/{id}/resume",
    "POST /flow_runs/{id}/set_state",
}
#: Words of paths by which Prefect reads with POST.
READING = re.compile(
    r"/(filter|count|count-by/\{\w+\}|paginate|history|lateness|validate|next-runs|counts|count-task-runs"
    r"|count-deployments|concurrency_status)$"
)


@pytest.fixture(scope="module")
def api() -> list[tuple[str, str]]:
    """Every route of the API of the Prefect that is installed."""
    from prefect.server.api.server import create_api_app

    paths = create_api_app(ignore_cache=True).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def permitted(api: list[tuple[str, str]]) -> Iterator[tuple[str, str, Rule]]:
    for method, path in api:
        rule = rule_of(method, "/api" + NAMED.sub("0f0e", path))
        if rule is not None:
            yield method, path, rule


def test_only_what_reads_and_what_is_named_is_permitted(api: list[tuple[str, str]]) -> None:
    """A route that a later Prefect adds is refused until it is looked at; the table is printed."""
    found = list(permitted(api))
    for method, path, rule in found:
        print(f"{method:6} {path:60} {rule.kind.value}")  # noqa: T201 - the table is asked for

    assert {f"{method} {path}" for method, path, rule in found if rule.kind.changes} == CHANGES
    reads = [(method, path) for method, path, rule in found if not rule.kind.changes]
    assert [path for method, path in reads if method not in ("GET", "POST")] == []
    assert [path for method, path in reads if method == "POST" and not READING.search(path)] == []
    assert SECRET.isdisjoint(f"{method} {path}" for method, path in reads)
    assert len(reads) > 90


def test_every_path_that_is_listed_is_there(api: list[tuple[str, str]]) -> None:
    """With this Prefect: a list of what is gone would only mislead."""
    from retirement.api import prefect_rules

    known = {(method, NAMED.sub("{}", path)) for method, path in api}
    listed = {(method, "/".join(parts)) for (method, _), each in prefect_rules.LISTED.items() for parts, _ in each}
    assert listed - known == set()


@pytest.mark.parametrize(
    "path",
    [
        "//api/flow_runs/filter",
        "/api//flow_runs/filter",
        "/api/flow_runs/../admin/settings",
        "/api/flow_runs/./filter",
        "/api/flow_runs/%2e%2e/filter",
        "/api/flow_runs/%2Ffilter",
        "/api/flow_runs%2ffilter",
        "/api/flow_runs/%5c/filter",
        "/api/flow_runs/%252e%252e/filter",
        "/api/flow_runs/%00",
        "/api/flow_runs/%ff/graph",
        "/api/flow_runs/a\\b",
        "/api/flow_runs/\n",
        "/api/flow_runs/filter?x",
        "/api/flow_runs/filter#x",
        "http://127.0.0.1:4200/api/flow_runs/filter",
        "api/flow_runs/filter",
        "",
        "/api/flow_runs/" + "x" * 3000,
        "/api/",
        "/api",
        "/API/flow_runs/filter",
        "/api/flow_runs/filter/",
        "/%61pi/flow_runs/resume",
        "/retirement/sign-in",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_with_two_readings_is_no_path(method: str, path: str) -> None:
    """Nor is one that is nearly right: what the server makes of it is not tried out."""
    assert rule_of(method, path) is None


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/", Kind.PAGE),
        ("HEAD", "/assets/index-B.js", Kind.PAGE),
        ("GET", "/runs/flow-run/1", Kind.PAGE),
        ("GET", "/ui-settings", Kind.SETTINGS),
        ("GET", "/api/flow_runs/1", Kind.READ),
        ("POST", "/api/flow_runs/filter", Kind.READ),
        ("GET", "/api/deployments/name/retire%20queue/here", Kind.READ),
        ("POST", "/api/flow_runs/1/input/filter", Kind.TYPED),
        ("POST", "/api/ui/schemas/validate", Kind.FORM),
        ("POST", "/api/templates/validate", None),
        ("POST", "/api/flow_runs/1/resume", Kind.ANSWER),
        ("POST", "/", None),
        ("TRACE", "/api/flow_runs/1", None),
        ("get", "/api/flow_runs/1", None),
        ("PATCH", "/api/deployments/1", None),
        ("PUT", "/api/automations/1", None),
        ("DELETE", "/api/flow_runs/1", None),
        ("POST", "/api/flow_runs/", None),
        ("POST", "/api/flow_runs/bulk_set_state", None),
        ("POST", "/api/work_pools/p/get_scheduled_flow_runs", None),
        ("GET", "/api/events/in", None),
        ("GET", "/docs", None),
        ("GET", "/v2/dashboard", None),
        ("GET", "/V2", None),
    ],
)
def test_a_request_is_what_its_method_and_path_say(method: str, path: str, kind: Kind | None) -> None:
    """Whatever else would come of it is not listed."""
    rule = rule_of(method, path)
    assert (rule.kind if rule else None) == kind


@pytest.mark.parametrize("kind", Kind)
def test_who_may_view_reads_and_who_may_monitor_sees_what_was_typed(kind: Kind) -> None:
    """What a run or a form needs beside is seen later, when it is known which it is."""
    nothing = frozenset({Action.SET_PERMISSIONS.value})
    reads = kind in (Kind.PAGE, Kind.SETTINGS, Kind.READ, Kind.FORM)
    later = kind in (Kind.START, Kind.ANSWER, Kind.MOVE)
    assert Rule(kind).permits(VIEW) == reads
    assert Rule(kind).permits(MONITOR)
    assert Rule(kind).permits(frozenset({Action.HOLD.value})) == later
    assert not Rule(kind).permits(frozenset())
    assert not Rule(kind).permits(nothing)
    assert Rule(kind).permits(frozenset(each.value for each in EVERYTHING))


def test_every_flow_has_a_permission() -> None:
    """A new flow is refused at the door until it has one."""
    assert set(OF_FLOWS) == {*FLOWS, *JOBS, "manual-task"}
