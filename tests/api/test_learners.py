"""Learners: an operator about any, a learner about themself, and what a number of another one is answered with."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from retirement import certificate as certificates
from retirement.errors import ConfigError
from retirement.site import ledger_location
from tests.unit.doubles import Forward

from .desk import ADMIN, ISSUER, LMS_ISSUER, STRANGER, Desk, bearer, learner_token, token

pytestmark = pytest.mark.anyio

OPERATOR = bearer(token(STRANGER, groups=["operators"]))
VIEWER = bearer(token(groups=["viewers"], sub=STRANGER))
#: `sub` of a learner's token.
SUBJECT = "c4ca4238a0b923820dcc509a6f75849b"


def at(user_id: int, what: str = "") -> str:
    return f"/api/learners/{user_id}{what}"


@pytest.fixture
def learners(desk: Desk) -> Desk:
    """A door that takes tokens of the LMS."""
    desk.settings["groups"] = {"operators": ["view", "retire"], "viewers": ["view"]}
    return desk.with_learners()


async def test_a_learners_token_reads_exactly_one_learner(learners: Desk) -> None:
    """Of every other number, whether there is such a learner or not, the same is told."""
    ana, ben = (await learners.seed("ana", "ben")).values()
    own = bearer(learner_token(ana))
    async with learners.open() as client:
        mine = await client.get(at(ana), headers=own)
        others = [
            await client.request(method, at(each, what), headers=own)
            for each in (ben, 4242, 10**9)
            for method, what in (("GET", ""), ("DELETE", ""), ("POST", "/take-back"), ("GET", "/certificate"))
        ]
        padded = await client.get(f"/api/learners/0{ana}", headers=own)

    assert (mine.status_code, mine.json()["user_id"], mine.json()["state"]) == (200, ana, "PENDING")
    assert {(each.status_code, each.text) for each in [*others, padded]} == {
        (404, '{"detail":"no retirement of this learner is known"}')
    }


async def test_a_learner_sees_how_far_the_request_is_and_nothing_more(learners: Desk) -> None:
    """No state of ours, no error, no step; and nothing that names them."""
    (ana,) = (await learners.seed("ana", days=1)).values()
    async with learners.open() as client:
        mine = (await client.get(at(ana), headers=bearer(learner_token(ana)))).json()
        all_of_it = (await client.get(at(ana), headers=OPERATOR)).json()

    assert mine.keys() == {
        *("user_id", "state", "requested_at", "due_at", "retired_at", "begins_after", "can_be_taken_back")
    }
    assert (mine["can_be_taken_back"], mine["retired_at"], mine["begins_after"] > mine["requested_at"]) == (
        True,
        None,
        True,
    )
    assert {"last_state", "live_run", "ledger"} <= all_of_it.keys()
    assert "ana" not in f"{mine}{all_of_it}"


async def test_an_operator_starts_the_retirement_of_one_learner(learners: Desk) -> None:
    """204 and 404 as the model has them; the ledger has who asked, before anything begins."""
    (ana,) = (await learners.seed("ana")).values()
    async with learners.open() as client:
        found = [
            (await client.delete(at(user_id), headers=headers)).status_code
            for user_id, headers in ((ana, OPERATOR), (4242, OPERATOR), (ana, VIEWER), (ana, {}))
        ]
        odd = [
            (await client.delete(f"/api/learners/{each}", headers=OPERATOR)).status_code for each in ("x", "0", "-1")
        ]

    assert (found, odd) == ([204, 404, 403, 401], [400, 400, 400])
    assert learners.started == [(ana, None)]
    (act,) = await learners.acts("run.asked")
    assert (act.user_id, (act.observed or {}).get("person")) == (ana, f"{ISSUER} {STRANGER}")


async def test_the_cool_off_is_waited_for_unless_an_operator_says_why(learners: Desk) -> None:
    """A learner cannot shorten it: a token that was stolen for an hour would erase an account."""
    (ana,) = (await learners.seed("ana", days=1)).values()
    own, early = bearer(learner_token(ana)), "?before_cool_off=a%20court%20order"
    async with learners.open() as client:
        asked = [(own, ""), (own, early), (OPERATOR, ""), (OPERATOR, early)]
        found = [(await client.delete(at(ana, query), headers=headers)).status_code for headers, query in asked]

    assert found == [409, 403, 409, 204]
    assert learners.started == [(ana, "a court order")]


async def test_a_learner_starts_their_own_request_when_the_cool_off_is_over(learners: Desk) -> None:
    """Only one that is there: the request itself is made in the LMS."""
    (ana,) = (await learners.seed("ana")).values()
    async with learners.open() as client:
        found = [
            (await client.delete(at(each), headers=bearer(learner_token(each)))).status_code for each in (ana, 4242)
        ]

    assert (found, learners.started) == ([204, 404], [(ana, None)])
    (act,) = await learners.acts("run.asked")
    assert (act.observed or {}).get("person") == f"{LMS_ISSUER} {SUBJECT}"


async def test_a_learner_takes_the_request_back_while_that_is_possible(learners: Desk) -> None:
    """And is told that it is not, once a run has begun; the ledger has who did it."""
    ana, ben = (await learners.seed("ana", "ben")).values()
    world = learners.world
    assert world is not None
    form = {**world.sandbox.clients["support"], "grant_type": "client_credentials", "token_type": "jwt"}
    support = (await world.clients["lms"].post("/oauth2/access_token", data=form)).json()["access_token"]

    async def permitted(request: httpx.Request, forward: Forward) -> httpx.Response:
        """The worker of this site has the LMS' permission to cancel, as support has it in the sandbox."""
        if "cancel_retirement" in request.url.path:
            request.headers["Authorization"] = f"JWT {support}"
        return await forward(request)

    async with learners.site(learners.configuration) as site:
        await world.retire(site, "ben")
    world.around = permitted
    async with learners.open() as client:
        foreign = await client.post(at(ana, "/take-back"), headers=VIEWER)
        mine = await client.post(at(ana, "/take-back"), headers=bearer(learner_token(ana)))
        again = await client.post(at(ana, "/take-back"), headers=bearer(learner_token(ana)))
        late = await client.post(at(ben, "/take-back"), headers=bearer(learner_token(ben)))

    assert [each.status_code for each in (foreign, mine, again, late)] == [403, 204, 404, 409]
    async with learners.ledger() as ledger:
        seen = [each.observed or {} for each in await ledger.acts.about(ana)]
    assert [each.get("person") for each in seen] == [f"{LMS_ISSUER} {SUBJECT}"]


async def test_a_learner_fetches_their_own_certificate(learners: Desk) -> None:
    """Signed, so that it convinces without the door."""
    ana, ben = (await learners.seed("ana", "ben")).values()
    assert learners.world is not None
    async with learners.site(learners.configuration) as site:
        await learners.world.retire(site, "ana")
    async with learners.open() as client:
        mine = await client.get(at(ana, "/certificate"), headers=bearer(learner_token(ana)))
        none = await client.get(at(ben, "/certificate"), headers=bearer(learner_token(ben)))
        done = (await client.get(at(ana), headers=bearer(learner_token(ana)))).json()
        again = await client.delete(at(ana), headers=OPERATOR)

    document: dict[str, Any] = mine.json()
    assert (mine.status_code, document["user_id"], none.status_code) == (200, ana, 404)
    signing = ledger_location(learners.configuration).signing
    assert signing is not None
    assert certificates.check_seal(document, [document["signature"]["key"]]) == []
    assert (done["state"], done["can_be_taken_back"], again.status_code) == ("COMPLETE", False, 409)
    assert ADMIN not in mine.text


async def test_a_learner_who_asks_again_and_again_gets_one_run(learners: Desk) -> None:
    """Until it has begun nothing shows it; each would be a run of the engine and an entry of the ledger."""
    (ana,) = (await learners.seed("ana")).values()
    async with learners.open() as client:
        asked = (client.delete(at(ana), headers=bearer(learner_token(ana))) for _ in range(5))
        found = sorted([each.status_code for each in await asyncio.gather(*asked)])

    assert (found, learners.started) == ([204, 409, 409, 409, 409], [(ana, None)])
    assert len(await learners.acts("run.asked")) == 1


async def test_a_start_that_failed_frees_the_place_at_once(learners: Desk) -> None:
    """The ledger has that it was not started; the next one is answered as if it were the first."""
    (ana,) = (await learners.seed("ana")).values()
    learners.engine_is_lost = True
    async with learners.open() as client:
        failed = [(await client.delete(at(ana), headers=OPERATOR)).status_code for _ in range(2)]
        learners.engine_is_lost = False
        found = [(await client.delete(at(ana), headers=OPERATOR)).status_code for _ in range(2)]

    assert (failed, found, learners.started) == ([503, 503], [204, 409], [(ana, None)])
    assert len(await learners.acts("run.unasked")) == 2


async def test_what_is_permitted_is_looked_up_once_for_a_request(learners: Desk) -> None:
    """Each look-up reads the ledger."""
    (ana,) = (await learners.seed("ana", days=1)).values()
    async with learners.open() as client:
        gate = learners.application.state.gate
        look_up, found = gate.may, []

        async def counted(*given: Any) -> set[str]:
            found.append(given)
            may: set[str] = await look_up(*given)
            return may

        gate.may = counted
        for method, path in (("GET", at(ana)), ("DELETE", at(ana, "?before_cool_off=asked"))):
            await client.request(method, path, headers=OPERATOR)

    assert len(found) == 2


async def test_the_reason_for_an_early_start_names_no_learner(learners: Desk) -> None:
    """It becomes a parameter of the run, which Prefect keeps."""
    (ana,) = (await learners.seed("ana", days=1)).values()
    async with learners.open() as client:
        for reason in ("ana@example.com", "ana%40example.com", "a\x00b"):
            answer = await client.delete(at(ana), headers=OPERATOR, params={"before_cool_off": reason})
            assert (answer.status_code, "ana" in answer.text) == (400, False)

    assert (learners.started, await learners.acts("run.asked")) == ([], [])


async def test_the_lms_is_no_issuer_of_operators_and_learners_at_once(learners: Desk) -> None:
    """Their tokens are told apart by it."""
    learners.settings["issuer"] = LMS_ISSUER
    with pytest.raises(ConfigError, match=r"door\.learners_issuer: .* is door\.issuer as well"):
        async with learners.open():
            pass
