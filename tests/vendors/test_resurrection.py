"""The drill for who comes back: a session from before makes the user of Che anew, until the account is barred.

Contract of the services, section C7: Che asks nobody whether a token's owner still exists.
"""

from __future__ import annotations

import pytest

from retirement.connectors import Connector, Outcome, Verdict, registry
from retirement.errors import Busy
from retirement.sandbox.vendors import VENDORS
from tests.unit.doubles import USERNAME, holder
from tests.vendors.conftest import Desk
from tests.vendors.test_che import Passing

pytestmark = pytest.mark.anyio

VENDOR = "che"
DELETE = "delete_learner"


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """Both services know the learner; waiting takes their time, and none of ours."""
    desk.seed(holder(vendors=["keycloak", "che"]))
    desk.world.naps = Passing(desk)
    return desk


def realm(desk: Desk) -> Connector:
    """The connector of the realm that Che trusts."""
    kind, wiring = registry()["KEYCLOAK"], desk.world.wiring()[0]
    section = VENDORS["keycloak"].settings("http://keycloak.sandbox", {})
    return kind.connected("KEYCLOAK", kind.Settings(**section), wiring)


async def token(desk: Desk) -> tuple[int, str]:
    """What the learner's browser gets when they sign in: a status, and a token that lives for five minutes."""
    password = f"password-of-{desk.world.user_ids[USERNAME]}"
    form = {"grant_type": "password", "client_id": "codeready-public", "username": USERNAME, "password": password}
    path = "/auth/realms/learners/protocol/openid-connect/token"
    reply = await desk.world.clients["keycloak"].post(path, data=form)
    return reply.status_code, reply.json().get("access_token", "")


async def open_tab(desk: Desk, session: str) -> int:
    """What an editor that is still open does every few seconds."""
    reply = await desk.world.clients["che"].get("/api/user", headers={"Authorization": f"Bearer {session}"})
    return reply.status_code


async def test_a_live_session_brings_the_user_back_and_the_second_pass_ends_it(desk: Desk) -> None:
    """Same id, found when asked about; barred in the realm, the learner stays gone."""
    learner, che, keycloak = await desk.learner(), desk.connector(), realm(desk)
    _, session = await token(desk)
    receipt = (await che.perform(DELETE, learner)).receipt or ""
    assert Verdict.GONE is await che.ask(DELETE, receipt, learner)

    desk.pass_by(minutes=2)
    assert await open_tab(desk, session) == 200
    assert desk.left()
    assert Verdict.PRESENT is await che.ask(DELETE, receipt, None)

    await keycloak.perform("disable_and_log_out", learner)
    assert (await token(desk))[0] == 400
    desk.pass_by(minutes=5)
    again = await che.perform(DELETE, learner)
    assert again.receipt == receipt
    assert await open_tab(desk, session) == 401
    assert Verdict.GONE is await che.ask(DELETE, receipt, learner)
    assert desk.left() == []


async def test_the_second_pass_ends_it_when_the_realm_has_forgotten_the_learner(desk: Desk) -> None:
    """In the safe order, with a token that outlived everything; the realm gives no id by then."""
    learner, keycloak = await desk.learner(), realm(desk)
    che = desk.connector(find_by=["id", "name", "email"])
    _, session = await token(desk)
    await keycloak.perform("disable_and_log_out", learner)
    receipt = (await che.perform(DELETE, learner)).receipt or ""
    await keycloak.perform(DELETE, learner)

    assert await open_tab(desk, session) == 200
    assert Verdict.PRESENT is await che.ask(DELETE, receipt, learner)
    desk.pass_by(minutes=6)
    assert Outcome.ERASED is (await che.perform(DELETE, learner)).outcome
    assert await open_tab(desk, session) == 401
    assert Verdict.GONE is await che.ask(DELETE, receipt, None)


async def test_a_session_that_is_faster_than_the_proof_is_for_later(desk: Desk) -> None:
    """The user is there again before anybody looks: not erased, and not the service's fault."""
    receipt = "00000000-0000-0000-0000-000000000000"
    user = {"id": receipt, "name": USERNAME.lower(), "email": "ana@example.com"}
    error = await desk.error(
        DELETE,
        {"method": "GET", "path": "/api/user/", "status": 200, "body": user},
        {"method": "GET", "path": "/workspace/namespace", "status": 200, "body": []},
        {"method": "DELETE", "path": "/api/user/", "status": 204},
    )

    assert isinstance(error, Busy)
    assert "session" in str(error)


async def test_the_sandbox_lists_its_steps_in_the_safe_order() -> None:
    """Bar in the realm, delete in Che, delete in the realm."""
    steps = [step for vendor in VENDORS.values() for step in vendor.steps if step["service"] in ("CHE", "KEYCLOAK")]

    assert [(step["service"], step["operation"]) for step in steps] == [
        ("KEYCLOAK", "disable_and_log_out"),
        ("CHE", DELETE),
        ("KEYCLOAK", DELETE),
    ]
