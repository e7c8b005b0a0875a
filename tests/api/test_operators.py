"""What operators do at the door: the same as by command, and entered with who they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from retirement.ledger import Action, Area, Holder, Ledger

from .desk import ADMIN, ISSUER, Desk, bearer, token

pytestmark = pytest.mark.anyio

WHO = {"by": "legal", "reason": "settled"}


class Office:
    """A door, and behind it a platform in memory."""

    def __init__(self, desk: Desk, client: httpx.AsyncClient, ledger: Ledger) -> None:
        self.desk, self.client, self.ledger = desk, client, ledger

    async def grant(self, person: str, *actions: Action) -> None:
        await self.ledger.permissions.set(Holder(ISSUER, person), Area.SYSTEM, "", actions)

    async def ask(self, method: str, path: str, body: Any = None, *, person: str = ADMIN) -> tuple[int, Any]:
        """Status and document of an answer."""
        answer = await self.client.request(method, path, json=body, headers=bearer(token(person)))
        return answer.status_code, answer.json()


@pytest.fixture
async def office(desk: Desk) -> AsyncIterator[Office]:
    """With two different people for more than one learner, and for holds; two may do single things."""
    desk.more = "guard: {second_person_above: 1, second_person_for_holds: true}\n"
    async with desk.open() as client, desk.ledger() as ledger:
        office = Office(desk, client, ledger)
        await office.grant("ana", Action.APPROVE, Action.HOLD, Action.VIEW)
        await office.grant("ben", Action.APPROVE, Action.HOLD)
        yield office


async def asked(office: Office) -> int:
    """A question about two learners who wait."""
    user_ids = await office.desk.seed("dana", "eli")
    expires = office.ledger.now() + timedelta(hours=1)
    return await office.ledger.decisions.ask(
        "run-1", trips=["2 wait"], depth=2, expires_at=expires, about=user_ids.values(), wanted=2
    )


async def test_two_people_answer_a_question(office: Office) -> None:
    """The same person twice is 409, whatever name is typed; too many learners and names of learners are 400."""
    number = await asked(office)
    yes = {"answer": "approved", "approver": "dpo", "reason": "a campus closed"}
    path = f"/api/approvals/{number}"
    assert (await office.ask("POST", path, yes | {"at_most": 3}, person="ana"))[0] == 400
    assert (await office.ask("POST", path, yes | {"reason": "zoe@post.example"}, person="ana"))[0] == 400
    assert (await office.ask("POST", "/api/approvals/4711", yes, person="ana"))[0] == 400
    status, first = await office.ask("POST", path, yes, person="ana")
    assert (status, first["answer"], first["yeses"]) == (200, "open", 1)
    (row,) = (await office.ask("GET", "/api/approvals", person="ana"))[1]
    assert (row["question"], row["answer"], row["yeses"]) == (number, "open", 1)
    status, refused = await office.ask("POST", path, yes | {"approver": "another"}, person="ana")
    assert (status, "of this person already, 1 of 2" in refused["detail"]) == (409, True)
    status, made = await office.ask("POST", path, yes | {"at_most": 2}, person="ben")
    assert (status, made["answer"]) == (200, "approved")
    assert (await office.ask("POST", path, yes | {"answer": "rejected"}, person="ben"))[0] == 409
    people = [(each.observed or {}).get("person") for each in await office.desk.acts("decision.made")]
    assert people == [f"{ISSUER} ben"]


async def test_two_people_end_a_hold(office: Office) -> None:
    """Placed by one; a no takes the first yes back."""
    new = {"user_id": 17, "basis": "Art. 17(3)(e)", "until": "2999-12-31", "by": "legal"}
    assert (await office.ask("POST", "/api/holds", new | {"org": "edX"}))[0] == 400
    assert (await office.ask("POST", "/api/holds", new | {"service": "NO_SUCH"}))[0] == 400
    status, placed = await office.ask("POST", "/api/holds", new)
    assert status == 201
    (row,) = (await office.ask("GET", "/api/holds"))[1]["holds"]
    assert (row["hold"], row["learner"], row["basis"]) == (placed["hold"], 17, "Art. 17(3)(e)")
    release, keep = (f"/api/holds/{placed['hold']}/{word}" for word in ("release", "keep"))
    answers = [
        await office.ask("POST", keep, WHO, person="ben"),
        await office.ask("POST", release, WHO, person="ana"),
        await office.ask("POST", release, WHO, person="ana"),
        await office.ask("POST", keep, WHO, person="ben"),
        await office.ask("POST", release, WHO, person="ben"),
        await office.ask("POST", release, WHO, person="ana"),
        await office.ask("POST", release, WHO, person="ana"),
    ]
    assert "no yes waits for a second person" in answers[0][1]["detail"]
    assert [(status, said.get("released")) for status, said in answers] == [
        (409, None),
        (200, False),
        (409, None),
        (200, False),
        (200, False),
        (200, True),
        (409, None),
    ]
    (act,) = await office.desk.acts("hold.released")
    assert (act.claimed, (act.observed or {})["person"], (act.observed or {})["channel"]) == (
        "legal",
        f"{ISSUER} ana",
        "door",
    )


async def test_the_queue_and_the_services_are_seen_as_by_command(office: Office) -> None:
    """Ids and counts; a service is stopped and called again with a reason."""
    await asked(office)
    office.desk.schedules = [{"name": "retire-queue/nightly", "next": "2026-03-01T02:00:00+00:00"}]
    status, found = await office.ask("GET", "/api/queue", person="ana")
    assert (status, found["states"], len(found["questions"])) == (200, {"PENDING": 2}, 1)
    assert "dana" not in str(found)
    assert found["schedules"] == office.desk.schedules
    path = "/api/services/LMS/breaker"
    reason = {"reason": "maintenance", "by": "oncall"}
    assert (await office.ask("PUT", path, reason | {"breaker": "open"}))[1] == {"service": "LMS", "breaker": "open"}
    rows = {each["service"]: each["breaker"] for each in (await office.ask("GET", "/api/services"))[1]["services"]}
    assert rows["LMS"] == "open"
    assert (await office.ask("PUT", path, reason | {"breaker": "closed"}))[0] == 200
    assert (await office.ask("PUT", "/api/services/NO/breaker", reason | {"breaker": "open"}))[0] == 404
    assert (await office.ask("PUT", path, reason | {"breaker": "half"}))[0] == 400


async def test_a_run_is_cancelled_by_who_may_and_the_ledger_has_who(office: Office) -> None:
    """By its id in Prefect or in the ledger; a flow of others is left alone, what is no run is no entry."""
    first, second, foreign = (UUID(int=number, version=4) for number in (1, 2, 3))
    office.desk.runs = {first: "retire-queue", second: "retire-learner", foreign: "somebody-elses"}
    await office.grant("mo", Action.MONITOR)
    asked = [("mo", str(first)), ("ana", str(second)), ("mo", f"{second}:2"), ("mo", str(first)), ("mo", "17")]
    answers = [(await office.ask("POST", f"/api/runs/{run}/cancel", person=who)) for who, run in asked]
    status, _ = await office.ask("POST", f"/api/runs/{foreign}/cancel")
    acts = await office.desk.acts("prefect.asked")

    assert ([each for each, _ in answers], status) == ([202, 403, 202, 404, 404], 403)
    assert answers[2][1] == {"run": str(second), "asked": "cancel"}
    assert list(office.desk.runs) == [foreign]
    assert [(each.observed or {})["person"] for each in acts] == [f"{ISSUER} mo"] * 2
    facts = [each.facts for each in await office.ledger.events.find(kind="prefect.asked")]
    assert [(each["what"], each["id"], each["flow"]) for each in facts] == [
        ("cancel", str(first), "retire-queue"),
        ("cancel", str(second), "retire-learner"),
    ]


async def test_what_is_not_there_is_said_so(office: Office) -> None:
    """A receipt, and a hold."""
    evidence = {"evidence": "ticket 4711", "by": "ops"}
    status, said = await office.ask("POST", "/api/receipts/4711/confirmation", evidence)
    assert (status, "there is no receipt 4711" in said["detail"]) == (400, True)
    assert (await office.ask("POST", "/api/holds/4711/release", WHO))[0] == 400


@pytest.mark.parametrize("number", ["0", "-1", "1.5", str(2**63), str(10**30), "x"])
async def test_a_number_that_the_ledger_cannot_have_is_a_400(office: Office, number: str) -> None:
    """In every path, and no defect of the program."""
    answer = {"answer": "approved", "approver": "dpo", "reason": "known"}
    found = [
        (await office.ask("POST", f"/api/{path}", body))[0]
        for path, body in (
            (f"approvals/{number}", answer),
            (f"holds/{number}/release", WHO),
            (f"holds/{number}/keep", WHO),
            (f"receipts/{number}/confirmation", {"evidence": "ticket", "by": "ops"}),
        )
    ]
    assert found == [400] * 4


async def test_what_was_typed_is_answered_and_not_logged(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """A name in the wrong field is in front of the person who typed it only."""
    body = {"user_id": 1, "service": "Ana Gomez", "basis": "case", "until": "2999-01-01", "by": "legal"}
    status, said = await office.ask("POST", "/api/holds", body)
    assert (status, "Ana Gomez" in said["detail"], "Ana Gomez" in caplog.text) == (400, True, False)
