"""Prefect's UI and API behind the door: what reaches the server, for whom, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from retirement.ledger import Action

from .behind import CREDENTIAL, DEPLOYMENT, KEY, ORIGIN, RUN, Prefect, Proxied
from .desk import ADMIN, STRANGER, URL, Desk

pytestmark = pytest.mark.anyio

RESUME, MOVE = f"/api/flow_runs/{RUN}/resume", f"/api/flow_runs/{RUN}/set_state"
START, SCHEDULE = f"/api/deployments/{DEPLOYMENT}/create_flow_run", f"/api/deployments/{DEPLOYMENT}/schedules/{RUN}"
PAUSE = f"/api/deployments/{DEPLOYMENT}/pause_deployment"
FORM = {"approve": True, "approver": "Ada", "reason": "known", "how_many": 3}
CANCEL = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
RETRY = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "again"}, "force": True}


async def test_the_credential_is_put_in_and_nothing_of_ours_goes_on(desk: Desk) -> None:
    """Nor what the browser says about proxies and connections; of the answer only what is listed comes back."""
    given = {
        "Cookie": "retirement=x",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": "127.0.0.1:4200",
        "Forwarded": "for=127.0.0.1",
        "Connection": "close, x-secret",
        "X-Secret": "1",
        "Upgrade": "h2c",
        "TE": "trailers",
        "Accept": "application/json",
        "X-Prefect-Api-Version": "0.8.4",
    }
    server = Prefect()
    server.answer = httpx.Response(
        200, content=b"[]", headers={"Set-Cookie": "a=b", "Content-Type": "application/json", "X-Powered-By": "x"}
    )
    async with Proxied(desk, server).open() as proxied:
        answer = await proxied.ask("view", "POST", "/api/flow_runs/filter?limit=1", json={"limit": 1}, headers=given)

    (asked,) = server.asked
    assert (str(asked.url), asked.content) == (f"{ORIGIN}/api/flow_runs/filter?limit=1", b'{"limit":1}')
    names = {name for name, _ in asked.headers.items()}
    assert names <= {
        *("host", "authorization", "accept", "accept-encoding", "content-type", "content-length"),
        *("x-prefect-api-version", "cookie"),
    }
    assert asked.headers["cookie"] == "prefect_ui_version=v1"
    assert (answer.status_code, answer.content) == (200, b"[]")
    assert not {"set-cookie", "x-powered-by"} & set(answer.headers)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert CREDENTIAL not in f"{answer.headers}{answer.text}"


async def test_the_ui_finds_its_api_at_the_door_and_asks_for_no_log_in(desk: Desk) -> None:
    """So that no browser needs the server's credential."""
    async with Proxied(desk).open() as proxied:
        page = await proxied.ask("view", "GET", "/dashboard")
        settings = await proxied.ask("view", "GET", "/ui-settings")

    assert page.json() == {"passed": "/dashboard"}
    found = settings.json()
    assert (found["api_url"], found["auth"], found["flags"]) == (f"{URL}/api", None, [])
    assert (found["default_ui"], found["available_uis"], found["v2_base_url"]) == ("v1", ["v1"], None)


@pytest.mark.parametrize("person", [*(each.value for each in Action), STRANGER, "no token"])
async def test_reading_is_for_who_may_view_or_monitor(desk: Desk, person: str) -> None:
    """Pages, lists and settings; all others are refused before the server hears of it."""
    async with Proxied(desk).open() as proxied:
        asked = [
            ("GET", "/dashboard"),
            ("GET", "/ui-settings"),
            ("POST", "/api/logs/filter"),
            ("GET", f"/api/flow_runs/{RUN}"),
        ]
        if person == "no token":
            statuses = {(await proxied.client.request(method, path)).status_code for method, path in asked}
        else:
            statuses = {(await proxied.ask(person, method, path)).status_code for method, path in asked}
        reached = len(proxied.server.asked)

    is_reader = person in ("view", "monitor")
    assert statuses == ({200} if is_reader else {401 if person == "no token" else 403})
    assert reached == (len(asked) if is_reader else 0)


@pytest.mark.parametrize(
    ("method", "path", "body", "flow", "pause", "needs"),
    [
        ("POST", RESUME, {"run_input": FORM}, "retire-queue", "approval-1", "approve"),
        ("POST", RESUME, {"run_input": FORM}, "manual-task", "manual-1", "confirm"),
        ("POST", RESUME, {"run_input": FORM}, "hold", "signed-1", "hold"),
        ("POST", RESUME, {"run_input": FORM}, "retire-learner", "which-learner-1", "retire"),
        ("POST", RESUME, {"run_input": FORM}, "breaker", "signed-1", "monitor"),
        ("POST", MOVE, CANCEL, "retire-queue", "", "monitor"),
        ("POST", MOVE, RETRY, "retire-queue", "", "retire"),
        ("POST", START, {"parameters": {"limit": 3}}, "retire-queue", "", "retire"),
        ("POST", START, {"parameters": {}}, "redrive", "", "redrive"),
        ("POST", START, {"parameters": {}}, "partner-report", "", "report"),
        ("POST", START, {"parameters": {}}, "cleanup", "", "archive"),
        ("POST", START, {}, "verify-erasure", "", "monitor"),
        ("PATCH", SCHEDULE, {"active": False}, "retire-queue", "", "monitor"),
        ("POST", PAUSE, {}, "retire-queue", "", "monitor"),
    ],
)
async def test_what_changes_something_needs_its_own_permission_and_is_an_entry(
    desk: Desk, method: str, path: str, body: Mapping[str, Any], flow: str, pause: str, needs: str
) -> None:
    """Every action is tried: that of the flow, or of the form that is answered, and no other."""
    async with Proxied(desk, Prefect(flow, pause)).open() as proxied:
        for action in Action:
            answer = await proxied.ask(action.value, method, path, json=body)
            assert (answer.status_code == 200) == (action.value == needs), (action, answer.text)
        assert len(proxied.server.changes) == 1
        acts = await desk.acts("prefect.asked")

    assert [each.observed and each.observed["person"].rpartition(" ")[2] for each in acts] == [needs]
    assert [each.observed and each.observed["channel"] for each in acts] == ["door"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PATCH", f"/api/deployments/{DEPLOYMENT}", {"pull_steps": [{"run_shell_script": {"script": "id"}}]}, 403),
        ("PATCH", f"/api/deployments/{DEPLOYMENT}", {"entrypoint": "evil.py:flow"}, 403),
        ("POST", "/api/deployments/", {"name": "evil"}, 403),
        ("POST", "/api/flow_runs/", {"flow_id": RUN}, 403),
        ("PATCH", f"/api/flow_runs/{RUN}", {"parameters": {"limit": 100}}, 403),
        ("DELETE", f"/api/flow_runs/{RUN}", None, 403),
        ("POST", "/api/block_documents/filter", {"include_secrets": True}, 403),
        ("POST", "/api/events", [], 403),
        ("PUT", "/api/admin/storage", {}, 403),
        ("POST", "/retirement/sign-in", None, 403),
        ("POST", START, {"job_variables": {"env": {"PYTHONPATH": "/tmp"}}}, 403),  # noqa: S108 - what an attacker sends
        ("POST", START, {"infrastructure_document_id": RUN}, 403),
        ("POST", START, {"work_queue_name": "other"}, 403),
        ("POST", START, {"enforce_parameter_schema": False}, 403),
        ("POST", START, {"parameters": {"limit": {"__prefect_kind": "jinja", "template": "{{ 1 }}"}}}, 403),
        ("POST", START, ["limit"], 400),
        ("POST", "/api/deployments/retire-queue/create_flow_run", {}, 400),
        ("POST", MOVE, {"state": {"type": "COMPLETED"}}, 403),
        ("POST", MOVE, {"state": {"type": "RUNNING"}, "force": True}, 403),
        ("POST", MOVE, {"state": "CANCELLING"}, 403),
        ("POST", RESUME, {}, 400),
        ("POST", RESUME, {"run_input": FORM, "more": 1}, 400),
        ("POST", RESUME, {"run_input": {"reason": {"__prefect_kind": "workspace_variable"}}}, 403),
        ("PATCH", SCHEDULE, {"active": False, "schedule": {"cron": "* * * * *"}}, 403),
        ("PATCH", SCHEDULE, {"active": "no"}, 403),
    ],
)
async def test_what_changes_code_or_records_is_refused_for_all(
    desk: Desk, method: str, path: str, body: Any, status: int
) -> None:
    """The administrator too; nothing of it reaches the server, and nothing is entered."""
    async with Proxied(desk).open() as proxied:
        answer = await proxied.ask(ADMIN, method, path, json=body)
        assert (answer.status_code, proxied.server.changes) == (status, [])
        assert await desk.acts("prefect.asked") == []


async def test_a_flow_that_is_not_ours_is_left_alone(desk: Desk) -> None:
    """On a server that others use as well."""
    async with Proxied(desk, Prefect("somebody-elses")).open() as proxied:
        for path, body in ((START, {}), (MOVE, CANCEL), (RESUME, {"run_input": FORM})):
            assert (await proxied.ask(ADMIN, "POST", path, json=body)).status_code == 403
        assert proxied.server.changes == []


async def test_a_body_is_made_anew(desk: Desk) -> None:
    """What the server is told is what was looked at, and nothing beside it."""
    when = "2026-12-01T01:00:00Z"
    start = {"parameters": {"limit": 1}, "state": {"type": "RUNNING", "state_details": {"scheduled_time": when}}}
    async with Proxied(desk).open() as proxied:
        for path, body in ((START, start), (MOVE, RETRY | {"more": 1}), (RESUME, {"run_input": FORM})):
            await proxied.ask(ADMIN, "POST", path, json=body)
        changes = [body for _, _, body in proxied.server.changes]
        first, *_ = await proxied.ledger.events.find(kind="prefect.asked")

    scheduled = {"type": "SCHEDULED", "state_details": {"scheduled_time": when}}
    again = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "retry: asked at the door"}
    assert changes == [
        {"parameters": {"limit": 1}, "state": scheduled, "tags": [f"asked:{first.seq}"]},
        {"state": again, "force": True},
        {"run_input": FORM},
    ]


async def test_a_form_is_known_by_its_person_and_no_other_form_is(desk: Desk) -> None:
    """By run, pause and every field; what was typed stands nowhere in the ledger."""
    async with Proxied(desk).open() as proxied:
        await proxied.ask("approve", "POST", RESUME, json={"run_input": FORM})
        passed = proxied.ledger.passed
        assert str(await passed.person(RUN, KEY, dict(reversed(FORM.items())))).endswith(" approve")
        for run, key, fields in (
            (DEPLOYMENT, KEY, FORM),
            (RUN, "paused-approval-2-response", FORM),
            (RUN, KEY, FORM | {"how_many": 4}),
            (RUN, KEY, {}),
        ):
            assert await passed.person(run, key, fields) is None
        (entry,) = await proxied.ledger.events.find(kind="prefect.asked")
        assert "known" not in str(entry.facts)


async def test_a_server_that_is_away_or_redirects_elsewhere(desk: Desk) -> None:
    """503 in the words of the door; a redirection stays at the door, or is none."""
    server = Prefect()
    async with Proxied(desk, server).open() as proxied:
        for location, seen in (
            (f"{ORIGIN}/api/flows/x", "/api/flows/x"),
            ("https://evil.example/", None),
            ("//evil.example/", None),
        ):
            server.answer = httpx.Response(307, headers={"Location": location})
            assert (await proxied.ask("view", "GET", "/x")).headers.get("location") == seen
        server.is_down = True
        answer = await proxied.ask("view", "GET", "/dashboard")
    assert (answer.status_code, answer.json()) == (503, {"detail": "Prefect's server does not answer"})


async def test_a_page_of_another_origin_changes_nothing(desk: Desk) -> None:
    """Whatever token or cookie its visitor has."""
    async with Proxied(desk).open() as proxied:
        answer = await proxied.ask(ADMIN, "POST", MOVE, json=CANCEL, headers={"Origin": "https://evil.example"})
        assert (answer.status_code, proxied.server.asked) == (403, [])


async def test_a_schema_of_the_callers_own_does_not_reach_the_server(desk: Desk) -> None:
    """Its expressions could keep the server busy for good, and its values name variables that only `monitor` reads."""
    schema = {"properties": {"x": {"type": "integer", "pattern": "^(a+)+$"}}}
    values = {"x": {"__prefect_kind": "workspace_variable", "variable_name": "x"}}
    body = {"schema": schema, "values": values}
    async with Proxied(desk).open() as proxied:
        answer = await proxied.ask("view", "POST", "/api/ui/schemas/validate", json=body)
        stranger = await proxied.ask(STRANGER, "POST", "/api/ui/schemas/validate", json=body)
        assert proxied.server.asked == []
    assert (answer.status_code, answer.json(), stranger.status_code) == (200, {"errors": [], "valid": True}, 403)


async def test_no_run_that_is_started_at_the_door_takes_the_place_of_a_scheduled_one(desk: Desk) -> None:
    """Prefect makes one run of a key, and its schedules have keys that can be known before."""
    key = f"scheduled {DEPLOYMENT} 2026-12-01T01:00:00+00:00"
    async with Proxied(desk).open() as proxied:
        await proxied.ask("retire", "POST", START, json={"idempotency_key": key})
        ((_, _, body),) = proxied.server.changes
    assert (body["idempotency_key"], set(body)) == (f"door {key}", {"idempotency_key", "tags"})


async def test_no_run_that_is_started_at_the_door_passes_for_the_form_of_another_flow(desk: Desk) -> None:
    """By its tags a run is the form of a receipt: one of a flow that asks could be answered without `confirm`."""
    server = Prefect("retire-learner")
    server.tags = ["retirement", "learner"]
    async with Proxied(desk, server).open() as proxied:
        for tags, status in ((["manual-task", "receipt:1"], 403), (["retirement"], 200), (7, 400), ([[]], 403)):
            answer = await proxied.ask("retire", "POST", START, json={"tags": tags})
            assert answer.status_code == status, (tags, answer.text)
        named = await proxied.ask("retire", "POST", START, json={"name": "for ana@example.com"})
        ((_, _, body),) = proxied.server.changes
        (entry,) = await proxied.ledger.events.find(kind="prefect.asked")
    assert (named.status_code, body) == (400, {"tags": [f"asked:{entry.seq}"]})


async def test_what_a_refused_start_has_typed_is_not_in_the_log(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Not even the name of a field, which may be anything."""
    async with Proxied(desk).open() as proxied:
        answer = await proxied.ask("retire", "POST", START, json={"ana@example.com\nrefused: nothing": 1})
    assert (answer.status_code, "ana@example.com" in answer.text + caplog.text) == (403, False)


@pytest.mark.parametrize(
    "body", [b'{"run_input": {"how_many": NaN}}', b'{"run_input": {"how_many": 1e999}}', b"\xff", b"["]
)
async def test_a_body_that_is_no_json_is_a_400(desk: Desk, body: bytes) -> None:
    """Nor is a number without an end one; nothing is entered."""
    async with Proxied(desk).open() as proxied:
        answer = await proxied.ask("approve", "POST", RESUME, content=body)
        assert (answer.status_code, proxied.server.changes) == (400, [])
        assert await desk.acts("prefect.asked") == []
