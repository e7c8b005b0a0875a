"""Eclipse Che: workspaces that take time to stop, a 204 that proves nothing, and who is found by what."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from retirement.connectors import Erasure, Identity, Outcome, Verdict
from retirement.connectors.che import Che, CheSettings
from retirement.errors import Busy, Misconfigured, Refused, Transient
from tests.unit.doubles import USERNAME, Naps, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "che"
DELETE = "delete_learner"
#: May manage users, and neither sees nor stops the workspaces of others.
PLAIN = {"client_id": "reader", "client_secret": "reader-secret"}


class Passing(Naps):
    """A sleep during which the time of the vendors passes."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    async def __call__(self, seconds: float) -> None:
        self._desk.pass_by(seconds=seconds)
        await super().__call__(seconds)


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """Waiting takes the vendors' time, and none of ours."""
    desk.world.naps = Passing(desk)
    return desk


def sent(desk: Desk, method: str = "DELETE") -> list[str]:
    """The paths of Che's own requests of a method."""
    return [path for each, path in desk.sent() if each == method]


async def test_workspaces_are_stopped_before_the_user_is_deleted(desk: Desk) -> None:
    """The one that runs; an administrator may not delete them, and the cascade does."""
    erasure = await desk.perform(DELETE)
    user = erasure.receipt
    number = desk.world.user_ids[USERNAME]

    assert Outcome.ERASED is erasure.outcome
    assert desk.left() == []
    assert sent(desk)[0] == f"/api/workspace/workspace{number}x0/runtime"
    assert sent(desk)[-1] == f"/api/user/{user}"
    assert len(sent(desk)) == len({*sent(desk)}) == 4
    assert sum(desk.world.naps.taken) == 15


async def test_who_may_not_see_workspaces_has_the_deletion_stop_them(desk: Desk) -> None:
    """The first try is 500 and begins the stop; the next one works."""
    erasure = await desk.perform(DELETE, **PLAIN)

    assert Outcome.ERASED is erasure.outcome
    assert sent(desk) == [f"/api/user/{erasure.receipt}"] * 2
    assert desk.left() == []


async def test_an_administrator_may_sign_in_with_a_password(desk: Desk) -> None:
    """Through the public client that every installation has (C10)."""
    desk.seed(holder(vendors=["keycloak", "che"]), holder("che-admin", vendors=["keycloak"]))
    password = f"password-of-{desk.world.user_ids['che-admin']}"
    public = {"client_id": "codeready-public", "client_secret": None, "username": "che-admin", "password": password}

    assert Outcome.ERASED is (await desk.perform(DELETE, **public)).outcome
    assert desk.left() == []


async def test_a_user_whose_workspaces_may_be_seen_and_not_stopped_is_left_to_the_deletion(desk: Desk) -> None:
    """403 for the stop is no reason to wait for it."""
    desk.arm({"method": "DELETE", "path": "/runtime", "status": 403, "body": {"message": "no"}})

    assert Outcome.ERASED is (await desk.perform(DELETE)).outcome
    assert desk.left() == []


async def test_a_workspace_that_does_not_stop_in_time_is_for_later(desk: Desk) -> None:
    """Busy: the service works, and no breaker opens for one learner's workspace."""
    desk.world.naps = Naps()
    error = await desk.error(DELETE)

    assert isinstance(error, Busy)
    assert sum(desk.world.naps.taken) == 60
    assert sent(desk) == [f"/api/workspace/workspace{desk.world.user_ids[USERNAME]}x0/runtime"]


async def test_a_deletion_that_always_meets_a_workspace_is_for_later(desk: Desk) -> None:
    """Tens of seconds between tries, and not for ever."""
    message = {"message": "User has workspace that is not stopped yet. Try again"}
    error = await desk.error(DELETE, {"method": "DELETE", "path": "/api/user/", "status": 500, "body": message})

    assert isinstance(error, Busy)
    assert desk.world.naps.taken[-3:] == [20.0] * 3


async def test_nobody_by_any_key_is_absent(desk: Desk) -> None:
    """404 of the search, with Che's own words."""
    desk.seed(holder())

    for find_by in (["name"], ["email"], ["name", "email"], ["id", "name"]):
        assert Erasure(Outcome.ABSENT) == await desk.perform(DELETE, find_by=find_by)


async def test_twice_is_absent_and_asked_about_where_the_realm_knows_the_id(desk: Desk) -> None:
    """Between deletion and ledger a run may die, and a session bring the user back all the same."""
    desk.seed(holder(vendors=["keycloak", "che"]))
    first, again = await desk.perform(DELETE), await desk.perform(DELETE)
    by_id = await desk.perform(DELETE, find_by=["id", "name"])

    assert (first.outcome, again.outcome) == (Outcome.ERASED, Outcome.ABSENT)
    assert Erasure(Outcome.ABSENT, first.receipt) == by_id


@pytest.mark.parametrize("find_by", [["name"], ["email"], ["id", "email"], ["id", "name", "email"]])
async def test_a_user_is_found_by_whatever_the_settings_say(desk: Desk, find_by: list[str]) -> None:
    """Name, e-mail in lower case, or the id that the realm gives."""
    desk.seed(holder("Ana.Gomez", email="Ana@Example.com", vendors=["keycloak", "che"]))
    erasure = await desk.connector(find_by=find_by).perform(DELETE, await desk.learner("Ana.Gomez"))

    assert Outcome.ERASED is erasure.outcome
    assert desk.left("Ana.Gomez") == []


async def test_a_user_whom_the_name_does_not_find_is_found_by_the_id(desk: Desk) -> None:
    """Somebody may be called otherwise in Che; the id is Keycloak's."""
    desk.seed(holder(vendors=["keycloak", "che"]))
    desk.arm({"path": "/api/user/find", "status": 404, "body": {"message": "not found"}})

    assert Outcome.ERASED is (await desk.perform(DELETE, find_by=["id", "name", "email"])).outcome


LOST = {"path": "/api/user/find", "status": 404, "body": {"message": "not found"}}


@pytest.mark.parametrize(
    ("username", "email", "find_by"),
    [
        ("jo+2", "jo@x.org", ["name"]),
        ("jo", "Jo+spam@x.org", ["email"]),
        ("jo+2", "jo+spam@x.org", ["name", "email"]),
        ("jo+2", "jo@x.org", ["id", "name"]),
    ],
)
async def test_a_name_with_a_plus_that_a_search_does_not_find_is_looked_up_in_the_realm(
    desk: Desk, username: str, email: str, find_by: list[str]
) -> None:
    """Che's search takes a whole name only; a user whom the realm does not know either is absent."""
    desk.seed(holder(username, email=email, vendors=["keycloak", "che"]), holder("x+y", email="x+y@x.org"))
    learner, other = await desk.learner(username), await desk.learner("x+y")
    desk.arm(LOST)
    che = desk.connector(find_by=find_by)

    assert Outcome.ERASED is (await che.perform(DELETE, learner)).outcome
    assert desk.left(username) == []
    assert Outcome.ABSENT is (await che.perform(DELETE, other)).outcome


async def test_a_name_with_a_plus_is_not_absent_where_the_realm_may_not_be_asked(desk: Desk) -> None:
    """The client needs a role for that, which the error names."""
    desk.seed(holder("jo+2", vendors=["keycloak", "che"]))
    desk.arm(LOST)
    blind = {"client_id": "nobody", "client_secret": "nobody-secret"}

    with pytest.raises(Misconfigured, match="view-users"):
        await desk.connector(find_by=["name"], **blind).perform(DELETE, await desk.learner("jo+2"))


async def test_keys_that_lead_to_different_users_need_a_person(desk: Desk) -> None:
    """Nobody is deleted."""
    other = {"id": "other", "name": USERNAME, "email": "x@x.org"}
    error = await desk.error(DELETE, {"path": "/api/user/find", "status": 200, "body": other, "times": 1})

    assert isinstance(error, Refused)
    assert sent(desk) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"client_secret": "wrong"},
        {"client_id": "nobody", "client_secret": "nobody-secret"},
        {"realm": "elsewhere"},
        {"url": "http://che.sandbox"},
        {"keycloak_url": "http://keycloak.sandbox/nowhere"},
        {"client_id": "codeready-public", "client_secret": None, "username": "admin", "password": "admin"},
        {"client_id": "nobody", "client_secret": "nobody-secret", "find_by": ["id", "name"]},
    ],
)
async def test_wrong_credentials_hosts_and_permissions_are_nobodys_fault(desk: Desk, settings: dict[str, Any]) -> None:
    """401 at either, 403 without manageUsers, and text where JSON is due."""
    assert isinstance(await desk.error(DELETE, **settings), Misconfigured)
    assert desk.left()


USER = {"id": "x", "name": "x", "email": "x@x.org"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"path": "/api/user/find", "status": 200, "body": {"message": "oops"}}, Refused),
        ({"path": "/api/user/find", "status": 200, "body": USER}, Refused),
        ({"path": "/api/user/find", "status": 404, "body": {"detail": "?"}}, Misconfigured),
        ({"path": "/api/user/find", "status": 404}, Misconfigured),
        ({"path": "/api/user/find", "status": 302, "headers": {"location": "/login"}}, Misconfigured),
        ({"path": "/workspace/namespace", "status": 200, "body": {"message": "oops"}}, Refused),
        (
            {
                "path": "/workspace/namespace",
                "status": 200,
                "body": [{"id": "w", "status": "RUNNING", "namespace": "somebody"}],
            },
            Refused,
        ),
        ({"method": "DELETE", "path": "/api/user/", "status": 200, "body": {"message": "oops"}}, Refused),
        ({"method": "DELETE", "path": "/api/user/", "status": 204}, Busy),
        ({"method": "DELETE", "path": "/api/user/", "status": 500, "body": {"message": "foreign profile"}}, Refused),
        ({"method": "DELETE", "path": "/api/user/", "status": 500, "body": {"message": "oops"}}, Transient),
        ({"method": "DELETE", "path": "/api/user/", "status": 404, "body": {"message": "oops"}}, Misconfigured),
        ({"method": "DELETE", "path": "/api/user/", "status": 405}, Misconfigured),
        ({"path": "/api/user", "status": 401, "body": {"message": "expired"}}, Misconfigured),
    ],
)
async def test_no_answer_passes_for_success_that_proves_none(
    desk: Desk, fault: dict[str, Any], kind: type[Exception]
) -> None:
    """Least of all the 204 that Che gives for whoever."""
    assert isinstance(await desk.error(DELETE, fault), kind)


async def test_a_lost_answer_to_the_deletion_does_no_harm(desk: Desk) -> None:
    """Whoever is gone gets 204 too."""
    desk.arm({"method": "DELETE", "path": "/api/user/", "after": True, "drop": True, "times": 1})

    assert Outcome.ERASED is (await desk.perform(DELETE)).outcome
    assert desk.left() == []


@pytest.mark.parametrize(
    ("username", "email"),
    [
        ("o'hara_1", "o'hara+spam/x@example.com"),
        ("ana/gomez", "slash@example.com"),
        ("Ünïcode.Ana", "ünï@exämple.com"),
        ("a" * 150, "b" * 242 + "@example.com"),
        ("percent%41", "percent%41&name=admin#x@example.com"),
    ],
)
async def test_awkward_identities_are_found_and_erased(desk: Desk, username: str, email: str) -> None:
    """Quotes, slashes, other scripts, and 254 characters."""
    desk.seed(holder(username, email=email, vendors=["keycloak", "che"]), holder("bea", vendors=["che"]))
    erasure = await desk.connector(find_by=["id", "name", "email"]).perform(DELETE, await desk.learner(username))

    assert Outcome.ERASED is erasure.outcome
    assert desk.left(username) == []
    assert desk.left("bea")


async def test_asking_tells_before_from_after(desk: Desk) -> None:
    """By the id alone, also when the LMS has forgotten the learner."""
    learner, connector = await desk.learner(), desk.connector()
    receipt = (await connector.perform(DELETE, learner)).receipt or ""
    desk.world.sandbox.arm([{"service": "che", "path": "/api/user/", "status": 500, "times": 99}])
    with pytest.raises(Transient):
        await connector.ask(DELETE, receipt, None)
    desk.world.sandbox.arm([])
    assert Verdict.GONE is await connector.ask(DELETE, receipt, None)
    desk.arm({"path": "/api/user/", "status": 200, "body": {**USER, "id": receipt}})
    assert Verdict.PRESENT is await connector.ask(DELETE, receipt, learner)


async def test_a_probe_reads_who_we_are_and_what_we_may(desk: Desk) -> None:
    """Whoever may not manage users is told so before the first learner."""
    await desk.connector().probe(DELETE)
    assert desk.sent() == [("GET", "/api/user"), ("GET", "/api/permissions/system")]

    with pytest.raises(Misconfigured, match="manageUsers"):
        await desk.connector(client_id="nobody", client_secret="nobody-secret").probe(DELETE)
    desk.arm({"path": "/api/permissions", "status": 200, "body": {"actions": "manageUsers"}})
    with pytest.raises(Misconfigured, match="manageUsers"):
        await desk.connector().probe(DELETE)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"find_by": ["id"]}, "add `name` or `email`"),
        ({"find_by": []}, "find_by"),
        ({"keycloak_url": "kc.example/auth"}, "is no URL with scheme and host"),
        ({"keycloak_url": "http://kc.example/auth"}, "use https://"),
        ({"client_secret": None}, "needs client_secret, or username and password"),
        ({"namespace": "x"}, "namespace"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    """Before the first request, and with what to do."""
    given = {"url": "https://che.example/api", "keycloak_url": "https://kc.example/auth", "realm": "r"}
    with pytest.raises(ValidationError, match=says):
        CheSettings(**{**given, "client_id": "c", "client_secret": "s", **settings})


def test_secrets_are_masked_and_keys_follow_the_settings() -> None:
    """What Che is told is declared, and that the realm is asked by username."""
    given = {"url": "https://che.example/api", "keycloak_url": "http://localhost/auth", "realm": "r", "client_id": "c"}
    by_email = CheSettings(**given, client_secret="s3cret", find_by=["email"])
    by_id = CheSettings(**given, client_secret="s3cret", find_by=["id", "name"])

    assert "s3cret" not in repr(by_email)
    assert Che.declared(by_email)[DELETE].needs == {Identity.EMAIL}
    assert Che.declared(by_email)[DELETE].looks_up_in is None
    assert Che.declared(by_id)[DELETE].looks_up_in == "KEYCLOAK"
    assert Che.declared(None) == Che.operations()
