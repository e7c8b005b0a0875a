"""Who may ask what: every route of the door, by every kind of person, all cells; the table is printed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest
from fastapi.routing import APIRoute

from retirement.api.app import ROUTERS
from retirement.api.permissions import Need, allowed, own_or, signed_in
from retirement.ledger import EVERYTHING, Area, Holder

from .desk import ADMIN, ISSUER, STRANGER, Desk, bearer, learner_token, token

pytestmark = pytest.mark.anyio

#: Routes that ask for no token, and why.
OPEN = {
    "GET /api/health": "says nothing of the site",
    "GET /": "says where to sign in",
    "GET /sign-in": "leads to the provider",
    "GET /sign-in/callback": "is asked with the provider's answer",
    "POST /sign-out/back-channel": "is asked by the provider, with a token that it has signed",
}
#: What a path parameter is filled with.
VALUES = {
    "domain": "system",
    "user_id": "17",
    "question": "1",
    "hold": "1",
    "receipt": "1",
    "service": "LMS",
    "run": "1",
    "month": "2026-01",
    "claim": "1",
    "organization": "edX",
}
ANYBODY, SIGNED_IN, OWN, THERE = "open", "signed in", "own or ", " there"
#: People who may do everything in an organisation: granted, by a group of the provider, and in another one.
OF_IT, BY_GROUP, OF_ANOTHER = "of edX", "group of edX", "of MITx"


def routes() -> Iterator[tuple[str, str, str]]:
    """Method, path and need of each route: an action, `signed in`, or `open`."""
    for route in (each for router in ROUTERS for each in router.routes):
        assert isinstance(route, APIRoute), "what is mounted has to be in a table of its own"
        checks = [each.call for each in route.dependant.dependencies if isinstance(each.call, Need)]
        needs = {named(each) for each in checks}
        if not needs:
            needs = {SIGNED_IN} if any(each.call is signed_in for each in route.dependant.dependencies) else {ANYBODY}
        for method in sorted(route.methods):
            yield method, route.path, needs.pop()


def named(check: Need) -> str:
    """A need in words."""
    own, there = OWN if isinstance(check, own_or) else "", THERE if check.area is Area.ORGANIZATION else ""
    return f"{own}{check.action.value}{there}"


def people() -> Mapping[str, dict[str, str]]:
    """The header of each kind of person: one for each action, the administrator, and those who have none."""
    having = {each.value: bearer(token(f"only-{each.value}")) for each in EVERYTHING}
    others = {"administrator": bearer(token(ADMIN)), "stranger": bearer(token(STRANGER)), "no token": {}}
    there = {OF_IT: bearer(token("of-edX")), OF_ANOTHER: bearer(token("of-MITx"))}
    there[BY_GROUP] = bearer(token("by-group", groups=["edx-staff"]))
    return {**having, **there, **others, "learner": bearer(learner_token())}


def expected(need: str, person: str) -> int | None:
    """The status of a refusal, None where the person is let through."""
    if need == ANYBODY:
        return None
    if person == "no token":
        return 401
    is_own = person == "learner" and need.startswith(OWN)
    is_there = person in (OF_IT, BY_GROUP) and need.endswith(THERE)
    needed = need.removeprefix(OWN).removesuffix(THERE)
    return None if needed in (SIGNED_IN, person) or is_own or is_there or person == "administrator" else 403


async def test_every_route_lets_through_whom_it_says_and_refuses_all_others(desk: Desk) -> None:
    """A route without a check is open to all, and has to be known as such."""
    lines, wrong = [], []
    desk.settings["organizations"] = {"edX": {"edx-staff": [each.value for each in EVERYTHING]}}
    async with desk.with_learners().open() as client, desk.ledger() as ledger:
        await desk.seed("ana")
        for action in EVERYTHING:
            holder = Holder(ISSUER, f"only-{action.value}")
            await ledger.permissions.set(holder, Area.SYSTEM, "", [action])
        for instance in ("edX", "MITx"):
            await ledger.permissions.set(Holder(ISSUER, f"of-{instance}"), Area.ORGANIZATION, instance, EVERYTHING)
        found = list(routes())
        for method, path, need in found:
            url = re.sub(r"{(\w+)}", lambda match: VALUES[match[1]], path)
            statuses = {}
            for person, headers in people().items():
                answer = await client.request(method, url, headers=headers, json={} if method != "GET" else None)
                statuses[person] = answer.status_code
                refused = answer.status_code if answer.status_code in (401, 403) else None
                if refused != expected(need, person):
                    wrong.append((method, path, need, person, answer.status_code))
            lines.append(f"{method:6} {path:46} {need:16} {' '.join(map(str, statuses.values()))}")
    print("\n".join([f"{'':70} {' '.join(people())}", *lines]))  # noqa: T201 - the table is asked for

    assert wrong == []
    assert {f"{method} {path}" for method, path, need in found if need == ANYBODY} == set(OPEN)


async def test_an_organisations_route_looks_at_that_organisation(desk: Desk) -> None:
    """What is granted for one says nothing of another; what is granted for the system holds for all."""
    holder = Holder(ISSUER, STRANGER)
    check = allowed(EVERYTHING[0], "organization")
    async with desk.open(), desk.ledger() as ledger:
        gate = desk.application.state.gate
        await ledger.permissions.set(holder, Area.ORGANIZATION, "edX", [check.action])
        person = await gate.of_header([f"Bearer {token(STRANGER)}"])
        found = [await gate.permits(person, check.action, check.area, each) for each in ("edX", "MITx")]
        await ledger.permissions.set(holder, Area.SYSTEM, "", [check.action])
        found.append(await gate.permits(person, check.action, check.area, "MITx"))

    assert found == [True, False, True]


async def test_the_description_has_every_route_with_what_it_is_for(desk: Desk) -> None:
    """For programs and on the page for people; a token is named where one is needed."""
    async with desk.open() as client:
        described = (await client.get("/api/openapi.json", headers=bearer(token()))).json()["paths"]
        page = (await client.get("/api", headers=bearer(token()))).text
    shown = [(each.path, method.lower()) for each in _shown() for method in each.methods]
    needs = {(path, method.lower()): need for method, path, need in routes()}

    assert sorted(shown) == sorted((path, method) for path, methods in described.items() for method in methods)
    for path, method in shown:
        told = described[path][method]
        assert told["summary"], (method, path)
        assert told["description"], (method, path)
        assert bool(told.get("security")) == (needs[path, method] != ANYBODY), (method, path)
        assert f"{method.upper()} {path}" in page


def _shown() -> list[APIRoute]:
    """The routes that are described; signing in is for browsers."""
    return [
        each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute) and each.include_in_schema
    ]
