"""Permissions over REST, as the model has them: listed, granted, revoked, and each change an entry."""

from __future__ import annotations

import hashlib

import pytest

from retirement.ledger import EVERYTHING, Action

from .desk import ADMIN, ISSUER, STRANGER, Desk, bearer, learner_token, token

pytestmark = pytest.mark.anyio

PERMISSIONS = "/api/permissions"
ALL = [each.value for each in EVERYTHING]


def wanted(*actions: str, user: str = STRANGER, domain: str = "system", **more: object) -> dict[str, object]:
    """The body of a grant."""
    return {"userId": user, "domainId": domain, "actions": list(actions), **more}


async def test_domains_are_listed_with_what_can_be_permitted(desk: Desk) -> None:
    """Both, or the one that is named."""
    async with desk.open() as client:
        both = await client.get(PERMISSIONS, headers=bearer(token()))
        one = await client.get(f"{PERMISSIONS}?domain=organization", headers=bearer(token(STRANGER)))

    assert both.json() == [{"id": each, "allowedActions": ALL} for each in ("system", "organization")]
    assert one.json() == [{"id": "organization", "allowedActions": ALL}]


async def test_the_first_administrator_may_do_everything_and_a_stranger_nothing(desk: Desk) -> None:
    """The configuration names the one, and 404 says of the other that there is nothing."""
    async with desk.open() as client:
        admin = await client.get(f"{PERMISSIONS}/system", headers=bearer(token()))
        stranger = await client.get(f"{PERMISSIONS}/system", headers=bearer(token(STRANGER)))
        member = await client.get(f"{PERMISSIONS}/system", headers=bearer(token(STRANGER, groups=["operators", "x"])))
        none = await client.get(f"{PERMISSIONS}/workspace", headers=bearer(token()))

    assert admin.json() == {"domainId": "system", "instanceId": "", "actions": ALL}
    assert (stranger.status_code, none.status_code) == (404, 404)
    assert member.json()["actions"] == ["view", "retire"]


async def test_what_is_granted_holds_at_once_and_so_does_what_is_revoked(desk: Desk) -> None:
    """With the same token; the ledger has each change, with who made it."""
    async with desk.open() as client:
        found = [(await client.get(f"{PERMISSIONS}/system/all", headers=bearer(token(STRANGER)))).status_code]
        for actions in (("view", "setPermissions"), ("view",), ()):
            answer = await client.post(PERMISSIONS, json=wanted(*actions), headers=bearer(token()))
            assert (answer.status_code, answer.content) == (204, b"")
            found.append((await client.get(f"{PERMISSIONS}/system/all", headers=bearer(token(STRANGER)))).status_code)
        listed = await client.get(f"{PERMISSIONS}/system/all", headers=bearer(token()))

    assert found == [403, 200, 403, 403]
    assert [each["userId"] for each in listed.json()] == [ADMIN]
    first, *later = await desk.acts("permission.set")
    assert (first.observed or {}).get("channel") == "console"
    assert [(each.observed or {}).get("person") for each in later] == [f"{ISSUER} {ADMIN}"] * 3
    assert [(each.observed or {}).get("channel") for each in later] == ["door"] * 3


async def test_what_is_so_already_is_no_entry(desk: Desk) -> None:
    """Each start grants the administrators, and each night would be an entry."""
    for _ in range(2):
        async with desk.open() as client:
            for actions in (["view", "retire"], ["retire", "view", "view"]):
                await client.post(PERMISSIONS, json=wanted(*actions), headers=bearer(token()))

    assert len(await desk.acts("permission.set")) == 2


async def test_the_last_who_may_set_permissions_stays(desk: Desk) -> None:
    """409; once another one may, the first one can go."""
    async with desk.open() as client:
        last = await client.post(PERMISSIONS, json=wanted("view", user=ADMIN), headers=bearer(token()))
        await client.post(PERMISSIONS, json=wanted("setPermissions"), headers=bearer(token()))
        then = await client.post(PERMISSIONS, json=wanted(user=ADMIN), headers=bearer(token(STRANGER)))
        gone = await client.get(f"{PERMISSIONS}/system", headers=bearer(token()))

    assert (last.status_code, then.status_code, gone.status_code) == (409, 204, 404)


async def test_an_organisation_has_permissions_of_its_own(desk: Desk) -> None:
    """They say nothing of another one, or of the system."""
    async with desk.open() as client:
        body = wanted("report", domain="organization", instanceId="edX")
        assert (await client.post(PERMISSIONS, json=body, headers=bearer(token()))).status_code == 204
        ask = [f"{PERMISSIONS}/organization?instance=edX", f"{PERMISSIONS}/organization?instance=MITx"]
        answers = [await client.get(each, headers=bearer(token(STRANGER))) for each in (*ask, f"{PERMISSIONS}/system")]

    assert [each.status_code for each in answers] == [200, 404, 404]
    assert answers[0].json() == {"domainId": "organization", "instanceId": "edX", "actions": ["report"]}


async def test_a_group_of_the_provider_may_do_more_in_an_organisation_than_elsewhere(desk: Desk) -> None:
    """With what it may do in the whole system; a person of the LMS is in no group."""
    desk.settings["organizations"] = {"edX": {"edx-staff": ["report"], "operators": ["hold"]}, "MITx": {}}
    people = {
        "staff": bearer(token(STRANGER, groups=["edx-staff"])),
        "both": bearer(token(STRANGER, groups=["edx-staff", "operators"])),
        "learner": bearer(learner_token(groups=["edx-staff"])),
    }
    places = ("organization?instance=edX", "organization?instance=MITx", "organization?instance=edx", "system")
    async with desk.with_learners().open() as client:
        found = {
            person: [
                (await client.get(f"{PERMISSIONS}/{each}", headers=headers)).json().get("actions") for each in places
            ]
            for person, headers in people.items()
        }
    system = ["view", "retire"]
    assert found == {
        "staff": [["report"], None, None, None],
        "both": [["view", "retire", "hold", "report"], system, system, system],
        "learner": [None] * 4,
    }


@pytest.mark.parametrize(
    "body",
    [
        wanted("erase"),
        wanted("view", domain="workspace"),
        wanted("view", domain="organization"),
        wanted("view", instanceId="edX"),
        wanted("view", domain="organization", instanceId="ana@example.com"),
        wanted("view", domain="organization", instanceId="edX\x00"),
        wanted("view", user=""),
        wanted("view", issuer="https://evil.example"),
        wanted("view", more="x"),
        {"userId": STRANGER},
        [],
        "view",
    ],
    ids=str,
)
async def test_a_grant_that_cannot_be_meant_is_a_400(desk: Desk, body: object) -> None:
    """And no entry."""
    async with desk.open() as client:
        answer = await client.post(PERMISSIONS, json=body, headers=bearer(token()))

    assert answer.status_code == 400
    assert len(await desk.acts("permission.set")) == 1


async def test_pages_of_the_list_have_the_size_that_was_asked_for(desk: Desk) -> None:
    """As in the model: `maxItems` and `skipCount`."""
    async with desk.open() as client:
        for number in range(3):
            await client.post(PERMISSIONS, json=wanted("view", user=f"u{number}"), headers=bearer(token()))
        page = await client.get(f"{PERMISSIONS}/system/all?maxItems=2&skipCount=1", headers=bearer(token()))

    assert [each["userId"] for each in page.json()] == [ADMIN, "u0", "u1", "u2"][1:3]


async def test_an_address_for_a_subject_is_stored_as_its_hash(desk: Desk) -> None:
    """Some providers call people by their address, and the ledger has none."""
    async with desk.open() as client:
        await client.post(PERMISSIONS, json=wanted("view", user="ana@example.com"), headers=bearer(token()))
        listed = await client.get(f"{PERMISSIONS}/system/all", headers=bearer(token()))
        own = await client.get(f"{PERMISSIONS}/system", headers=bearer(token("ana@example.com")))

    assert "ana@example.com" not in listed.text
    assert own.json()["actions"] == [Action.VIEW]
    assert b"ana@example.com" not in (desk.folder / "ledger.db").read_bytes()


async def test_a_subject_that_looks_like_a_hash_is_not_the_person_whose_hash_it_is(desk: Desk) -> None:
    """At a provider whose people choose their names; the hash that the door has shown still names the person."""
    shown = f"sha256:{hashlib.sha256(b'ana@example.com').hexdigest()}"
    async with desk.open() as client:
        granted = await client.post(PERMISSIONS, json=wanted("view", user=shown), headers=bearer(token()))
        found = [
            (await client.get(f"{PERMISSIONS}/system", headers=bearer(token(each)))).status_code
            for each in ("ana@example.com", shown)
        ]
    assert (granted.status_code, found) == (204, [200, 404])
