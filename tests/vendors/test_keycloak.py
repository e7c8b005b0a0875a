"""Keycloak: who is found, what a 404 and a 403 mean there, and who comes back from a directory."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from retirement.connectors import Erasure, Identity, Outcome, Verdict
from retirement.connectors.keycloak import Keycloak, KeycloakSettings
from retirement.errors import Misconfigured, Refused, Transient
from retirement.sandbox.vendors import realm
from tests.unit.doubles import EMAIL, USERNAME, holder
from tests.vendors.conftest import Desk

pytestmark = pytest.mark.anyio

VENDOR = "keycloak"
BAR, DELETE = "disable_and_log_out", "delete_learner"
ADMIN = {"client_id": "admin-cli", "client_secret": None, "username": "admin", "password": "admin-sandbox-password"}


async def admin(desk: Desk, method: str, path: str, **options: Any) -> Any:
    """What the administration of the realm says to an administrator."""
    client = desk.world.clients["keycloak"]
    form = {"grant_type": "password", **{key: value for key, value in ADMIN.items() if value}}
    token = (await client.post("/realms/master/protocol/openid-connect/token", data=form)).json()["access_token"]
    url, headers = f"/admin/realms/learners{path}", {"Authorization": f"Bearer {token}"}
    reply = await client.request(method, url, headers=headers, **options)
    return reply.json() if reply.content else None


async def users(desk: Desk) -> list[dict[str, Any]]:
    """Every user of the realm."""
    found: list[dict[str, Any]] = await admin(desk, "GET", "/users")
    return found


async def test_the_account_is_barred_and_nothing_of_it_stays_open(desk: Desk) -> None:
    """The user is there, and cannot sign in; sessions, consents and links are gone."""
    assert Erasure(Outcome.ERASED) == await desk.perform(BAR)

    (user,) = await users(desk)
    mine = f"/users/{user['id']}"
    lists = [await admin(desk, "GET", f"{mine}/{each}") for each in ("sessions", "consents", "federated-identity")]
    assert user["enabled"] is False
    assert lists == [[], [], []]
    assert ("DELETE", f"/auth/admin/realms/learners/attack-detection/brute-force{mine}") in desk.sent()
    assert {place["table"] for place in desk.left()} == {"keycloak_user"}


async def test_the_account_is_deleted_and_known_by_its_id(desk: Desk) -> None:
    """The receipt is Keycloak's id; only events survive, by contract."""
    (user,) = await users(desk)
    erasure = await desk.perform(DELETE)

    assert Erasure(Outcome.ERASED, user["id"]) == erasure
    assert desk.left() == []
    kept = desk.world.sandbox.state()["learners"][USERNAME]["survives"]
    assert {place["table"] for place in kept if place["service"] == "keycloak"} == {"keycloak_event"}


async def test_nobody_of_that_name_is_absent(desk: Desk) -> None:
    """An empty list, by every key."""
    desk.seed(holder())

    for find_by in ("username", "email", "both"):
        assert Erasure(Outcome.ABSENT) == await desk.perform(BAR, find_by=find_by)
        assert Erasure(Outcome.ABSENT) == await desk.perform(DELETE, find_by=find_by)


async def test_both_may_be_done_twice(desk: Desk) -> None:
    """A run may die after the first time; what is deleted is then absent."""
    done = [(await desk.perform(operation)).outcome for operation in (BAR, BAR, DELETE, DELETE, BAR)]

    assert done == [*[Outcome.ERASED] * 3, *[Outcome.ABSENT] * 2]


async def test_a_lost_answer_to_the_deletion_is_found_out(desk: Desk) -> None:
    """The second try gets 404, which is success there."""
    desk.arm({"method": "DELETE", "path": "/users/", "after": True, "drop": True, "times": 1})

    assert Outcome.ERASED is (await desk.perform(DELETE)).outcome
    assert desk.left() == []


@pytest.mark.parametrize(("path", "what"), [("/federated-identity/", "providers"), ("/consents/", "clients")])
@pytest.mark.parametrize("answer", [{"status": 404, "body": {"error": "not found"}}, {"status": 204}])
async def test_what_it_says_to_have_removed_is_looked_for(
    desk: Desk, path: str, what: str, answer: dict[str, Any]
) -> None:
    """The list still has what a gateway in its place has removed in words only."""
    error = await desk.error(BAR, {"method": "DELETE", "path": path, **answer})

    assert (type(error), f"{what} are still there" in str(error)) == (Transient, True)


@pytest.mark.parametrize(
    "settings",
    [
        {"client_secret": "wrong"},
        {"client_id": "nobody", "client_secret": "nobody-secret"},
        {"client_id": "reader", "client_secret": "reader-secret"},
        {"realm": "elsewhere", "token_realm": "learners"},
        {"token_realm": "elsewhere"},
        {"url": "http://keycloak.sandbox/nowhere"},
        {**ADMIN, "token_realm": "master", "username": "new-admin"},
        {**ADMIN, "token_realm": "master", "password": "wrong"},
    ],
)
@pytest.mark.parametrize("operation", [BAR, DELETE])
async def test_wrong_credentials_and_missing_roles_are_nobodys_fault(
    desk: Desk, operation: str, settings: dict[str, Any]
) -> None:
    """A realm that is not there says 404 in JSON too, and nobody is absent because of that."""
    assert isinstance(await desk.error(operation, **settings), Misconfigured)
    assert len(await users(desk)) == 1


async def test_an_administrator_of_master_will_do_without_the_old_path(desk: Desk) -> None:
    """Password grant with admin-cli, and a base URL without `/auth`."""
    erasure = await desk.perform(DELETE, url="http://keycloak.sandbox/", token_realm="master", **ADMIN)

    assert Outcome.ERASED is erasure.outcome


async def test_a_token_that_has_expired_is_renewed(desk: Desk) -> None:
    """Tokens live for five minutes, and runs for hours."""
    connector, learner = desk.connector(), await desk.learner()
    await connector.perform(BAR, learner)
    desk.pass_by(minutes=6)

    assert Outcome.ERASED is (await connector.perform(DELETE, learner)).outcome


@pytest.mark.parametrize(
    ("operation", "fault", "kind"),
    [
        (DELETE, {"method": "GET", "path": "/users", "status": 200, "body": {"error": "unknown_error"}}, Refused),
        (DELETE, {"method": "GET", "path": "/users", "status": 200, "body": [{"username": "x"}]}, Refused),
        (DELETE, {"method": "DELETE", "path": "/users/", "status": 200, "body": {"error": "unknown_error"}}, Refused),
        (DELETE, {"method": "DELETE", "path": "/users/", "status": 204}, Refused),
        (DELETE, {"method": "GET", "path": "/users/", "status": 200, "body": {"error": "unknown_error"}}, Refused),
        (DELETE, {"method": "GET", "path": "/users/", "status": 404, "body": "<html>"}, Misconfigured),
        (DELETE, {"method": "GET", "path": "/users/", "status": 404}, Misconfigured),
        (
            DELETE,
            {"method": "GET", "path": "/users/", "status": 404, "body": {"error": "Realm not found."}},
            Misconfigured,
        ),
        (DELETE, {"method": "GET", "path": "/users/", "status": 403, "body": {"error": "unknown"}}, Misconfigured),
        (DELETE, {"method": "DELETE", "path": "/users/", "status": 503}, Transient),
        (BAR, {"method": "PUT", "path": "/users/", "status": 204}, Refused),
        (BAR, {"path": "/consents", "status": 200, "body": {"error": "unknown_error"}}, Refused),
        (BAR, {"path": "/federated-identity", "status": 200, "body": [{"provider": "x"}]}, Refused),
        (BAR, {"path": "/logout", "status": 204}, Transient),
        (BAR, {"path": "/sessions", "status": 200, "body": {"error": "unknown_error"}}, Refused),
    ],
)
async def test_no_answer_passes_for_success_that_proves_none(
    desk: Desk, operation: str, fault: dict[str, Any], kind: type[Exception]
) -> None:
    """Neither a 2xx that did nothing, nor a 404 that is somebody else's, nor a 403 about who is gone."""
    assert isinstance(await desk.error(operation, fault), kind)


def found(*usernames: str) -> dict[str, Any]:
    """A search by a server that does not know `exact`."""
    listed = [{"id": f"id-{name}", "username": name, "email": f"{name}@x.org"} for name in usernames]
    return {"method": "GET", "path": "/users", "status": 200, "body": listed, "times": 1}


async def test_of_those_whom_a_search_for_parts_finds_only_the_learner_counts(desk: Desk) -> None:
    """An older server finds `joana.gomez+x` too, and is not told by its statuses."""
    desk.seed(holder(vendors=["keycloak"]), holder("jo" + USERNAME, email="jo@x.org", vendors=["keycloak"]))
    (mine,) = [user["id"] for user in await users(desk) if user["username"] == USERNAME]
    fault = found("jo" + USERNAME, USERNAME)
    fault["body"][1]["id"] = mine
    desk.arm(fault)

    assert Erasure(Outcome.ERASED, mine) == await desk.perform(DELETE)
    assert [user["username"] for user in await users(desk)] == ["jo" + USERNAME]


@pytest.mark.parametrize(
    "fault", [found("joana", "ana.gomez"), found(USERNAME, "x", USERNAME.upper()), found(*["x"] * 100)]
)
async def test_nobody_is_touched_where_it_is_not_plain_who_is_meant(desk: Desk, fault: dict[str, Any]) -> None:
    """Others only, several, or so many that the list may be cut short."""
    fault["body"] = [{**each, "id": f"{number}"} for number, each in enumerate(fault["body"])]

    assert isinstance(await desk.error(DELETE, fault), Refused)
    assert len(await users(desk)) == 1


async def test_two_users_with_one_address_need_a_person(desk: Desk) -> None:
    """Realms may allow it; by username alone the other one is not seen."""
    desk.seed(holder(vendors=["keycloak"]), holder("bea", vendors=["keycloak"]))
    (bea,) = [user["id"] for user in await users(desk) if user["username"] == "bea"]
    await admin(desk, "PUT", f"/users/{bea}", json={"email": EMAIL})

    for find_by in ("email", "both"):
        assert isinstance(await desk.error(DELETE, find_by=find_by), Refused)
    assert Outcome.ERASED is (await desk.perform(DELETE, find_by="username")).outcome


async def test_keys_that_lead_to_different_users_need_a_person(desk: Desk) -> None:
    """The name is one user's and the address another's, or nobody's."""
    (ana,) = await users(desk)
    await admin(desk, "PUT", f"/users/{ana['id']}", json={"email": "elsewhere@x.org"})

    assert isinstance(await desk.error(BAR, find_by="both"), Refused)


@pytest.mark.parametrize("operation", [BAR, DELETE])
async def test_a_directory_that_is_read_only_refuses(desk: Desk, operation: str) -> None:
    """400, and a person has to remove the learner there."""
    desk.seed(holder(email="ana@readonly-ldap.example", vendors=["keycloak"]))
    error = await desk.error(operation)

    assert isinstance(error, Refused)
    assert "LDAP" in str(error)


async def test_who_comes_back_from_a_directory_is_found_under_the_new_id(desk: Desk) -> None:
    """Its next import makes them anew; once the LMS has forgotten them only the old id can be asked for."""
    desk.seed(holder(email="ana@ldap.example", vendors=["keycloak"]))
    connector, learner = desk.connector(find_by="both"), await desk.learner()
    receipt = (await connector.perform(DELETE, learner)).receipt or ""

    assert Verdict.GONE is await connector.ask(DELETE, receipt, learner)
    desk.pass_by(days=2)
    assert Verdict.ANOTHER is await connector.ask(DELETE, receipt, learner)
    assert Verdict.GONE is await connector.ask(DELETE, receipt, None)


async def test_asking_tells_before_from_after(desk: Desk) -> None:
    """By the id alone, and others whom an older server finds do not matter."""
    (user,) = await users(desk)
    connector, learner = desk.connector(), await desk.learner()

    assert Verdict.PRESENT is await connector.ask(DELETE, user["id"], None)
    await connector.perform(DELETE, learner)
    assert Verdict.GONE is await connector.ask(DELETE, user["id"], None)
    # The first lets the question for the id pass; the second is the search.
    desk.arm({"path": "/users/", "times": 1}, found("jo" + USERNAME))
    assert Verdict.GONE is await connector.ask(DELETE, user["id"], learner)


@pytest.mark.parametrize(
    ("username", "email"),
    [
        ("o'hara_1", "o'hara+spam/x@example.com"),
        ("Ünïcode.Ana", "ünï@exämple.com"),
        ("a" * 150, "b" * 242 + "@example.com"),
        ("percent%41", "percent%41&exact=false#x@example.com"),
        ("ANA", "Ana.Gomez@Example.COM"),
    ],
)
async def test_awkward_identities_are_found_and_erased(desk: Desk, username: str, email: str) -> None:
    """Quotes, slashes, other scripts, capitals, and 254 characters."""
    desk.seed(holder(username, email=email, vendors=["keycloak"]), holder("bystander", vendors=["keycloak"]))
    connector, learner = desk.connector(find_by="both"), await desk.learner(username)

    assert Outcome.ERASED is (await connector.perform(BAR, learner)).outcome
    assert Outcome.ERASED is (await connector.perform(DELETE, learner)).outcome
    assert desk.left(username) == []
    assert [user["username"] for user in await users(desk)] == ["bystander"]


async def test_a_learner_without_an_address_is_not_looked_for_by_it(desk: Desk) -> None:
    """An empty condition is none, and everybody would be found."""
    desk.seed(holder(email="", vendors=["keycloak"]))
    with pytest.raises(Refused):
        await desk.connector(find_by="email").perform(DELETE, await desk.learner())

    assert len(await users(desk)) == 1


async def test_a_probe_counts_users(desk: Desk) -> None:
    """It changes nothing, and needs the rights that a look-up needs."""
    await desk.connector().probe(DELETE)
    with pytest.raises(Misconfigured):
        await desk.connector(client_id="nobody", client_secret="nobody-secret").probe(DELETE)
    desk.arm({"path": "/users/count", "status": 200, "body": {"error": "unknown_error"}})
    with pytest.raises(Misconfigured):
        await desk.connector().probe(BAR)

    assert desk.sent()[-1] == ("GET", "/auth/admin/realms/learners/users/count")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"client_secret": None}, "needs client_secret, or username and password"),
        ({"username": "admin"}, "username and password go together"),
        ({"find_by": "name"}, "find_by"),
        ({"serect": "x"}, "serect"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], says: str) -> None:
    """Before the first request, and with what to do."""
    given = {"url": "https://kc.example", "realm": "r", "client_id": "c", "client_secret": "s", **settings}
    with pytest.raises(ValidationError, match=says):
        KeycloakSettings(**given)


def test_secrets_are_masked_and_keys_follow_the_settings() -> None:
    """What a search is told is declared, and no secret is in a representation."""
    given = {"url": "https://kc.example/auth/", "realm": "a b", "client_id": "c", "find_by": "email"}
    settings = KeycloakSettings(**given, client_secret="s3cret", username="u", password="passw0rd")
    declared = Keycloak.declared(settings)

    assert settings.base_url == "https://kc.example/auth/admin/realms/a%20b"
    assert "s3cret" not in repr(settings)
    assert "passw0rd" not in repr(settings)
    assert {each.needs for each in declared.values()} == {frozenset({Identity.EMAIL})}
    assert Keycloak.declared(None) == Keycloak.operations()


async def test_a_stranger_who_takes_the_freed_name_is_not_the_learner(desk: Desk) -> None:
    """Found and named, and left alone by what is done once more: that is for the id of the receipt."""
    connector, learner = desk.connector(find_by="username"), await desk.learner()
    receipt = (await connector.perform(DELETE, learner)).receipt or ""
    stranger = {"username": USERNAME, "email": "stranger@mail.example", "first_name": "", "last_name": ""}
    with desk.world.sandbox._platform.world.database.transaction() as db:
        db.execute(realm.user.insert().values(uid="stranger", learner=0, enabled=True, origin="", **stranger))

    assert Verdict.ANOTHER is await connector.ask(DELETE, receipt, learner)
    assert Erasure(Outcome.ERASED, receipt) == await connector.repeat(DELETE, receipt, learner)
    assert [each["email"] for each in await users(desk)] == ["stranger@mail.example"]
