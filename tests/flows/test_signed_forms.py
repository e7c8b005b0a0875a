"""The door before a real Prefect server: two people approve a run, and a form that was posted past it is nobody's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from retirement.api.app import door
from retirement.api.around import App
from retirement.config import load
from retirement.flows.kit.behind import Behind
from retirement.ledger import Act, Action, Area, Holder, opened
from tests import locks, patient
from tests.api.behind import Browser
from tests.api.desk import DOOR, ISSUER, URL, Provider, bearer, token
from tests.flows.conftest import Command, Platform, Start, sandbox
from tests.flows.runs import Runs
from tests.patient import until

FORM = {"approve": True, "approver": "Chief Privacy Officer", "reason": "a campus closed", "how_many": 3}


def test_two_people_approve_through_the_door_and_a_form_past_it_is_no_person(
    tmp_path: Path, runs: Runs, engine: str, retirement: Command, start: Start
) -> None:
    """All type the same name; the ledger has who they are. Pages and websockets come through as well."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.configure(
            queue={"threshold": 1}, guard={"second_person_above": 2}, deadline_days=60, door={**DOOR, "groups": {}}
        )
        run = start("retire-queue", "--json", "--config", platform.config)
        asking = runs.asking()
        asyncio.run(approve(platform, runs, engine, asking))
        ended = run.ended()
        acts = asyncio.run(decided(platform))

    assert (ended.code, ended.document["outcomes"]) == (0, {"retired": 3})
    people = [(each.kind, (each.observed or {}).get("person")) for each in acts]
    ana, ben = (f"{ISSUER} {subject}" for subject in ("ana", "ben"))
    assert people == [
        ("decision.first", ana),
        ("decision.first", None),
        ("decision.same", ana),
        ("decision.made", ben),
        ("decision.used", None),
    ]
    assert {each.claimed for each in acts[:4]} == {"Chief Privacy Officer"}


async def approve(platform: Platform, runs: Runs, engine: str, asking: str) -> None:
    """Each answer is read by the run, which then shows its form again."""
    async with at_the_door(platform, engine) as (client, app):

        async def says(person: str, entries: int, **other: Any) -> None:
            headers = bearer(token(person))
            resume = f"/api/flow_runs/{asking}/resume"
            answer = await client.post(resume, json={"run_input": FORM | other}, headers=headers)
            assert answer.json()["status"] == "ACCEPT", answer.text
            await entered(platform, entries)

        page = await client.get("/dashboard", headers=bearer(token("ana")) | {"Accept": "text/html"})
        assert "<title>Prefect Server</title>" in page.text
        await listens(app)
        await says("ana", 1)
        assert await asyncio.to_thread(runs.asking) == asking
        past = f"{engine}/flow_runs/{asking}/resume"
        sent = await asyncio.to_thread(patient.post, past, json={"run_input": {**FORM, "how_many": 2}})
        assert sent.json()["status"] == "ACCEPT"
        await entered(platform, 2)
        assert await asyncio.to_thread(runs.asking) == asking
        await says("ana", 3, reason="once more")
        assert await asyncio.to_thread(runs.asking) == asking
        await says("ben", 4)


async def listens(app: App) -> None:
    """The server takes the credential of the door, else no websocket would be accepted."""
    for path in ("/api/events/out", "/api/logs/out"):
        browser = await Browser(app, path, bearer(token("ana"))).accepted()
        browser.say({"type": "filter", "filter": {}})
        await browser.close()


@asynccontextmanager
async def at_the_door(platform: Platform, engine: str) -> AsyncIterator[tuple[httpx.AsyncClient, App]]:
    """The door in this process, before the session's server, with two people who may approve."""
    server = Behind(engine.removesuffix("/api"), ":".join(locks.auth(engine) or ()))
    configuration = load(Path(platform.config))
    async with door(configuration, pools=Provider().pool, where=lambda: server) as app:
        async with opened(platform.ledger) as ledger:
            for subject in ("ana", "ben"):
                holder = Holder(ISSUER, subject)
                await ledger.permissions.set(holder, Area.SYSTEM, "", [Action.VIEW, Action.APPROVE])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as client:
            yield client, app


async def entered(platform: Platform, entries: int) -> None:
    """Waits until so many answers are in the ledger."""

    def enough() -> bool:
        return len([each for each in asyncio.run(decided(platform)) if each.kind != "decision.used"]) >= entries

    await asyncio.to_thread(until, enough)


async def decided(platform: Platform) -> list[Act]:
    """The acts on questions, in the order of their entries."""
    async with opened(platform.ledger) as ledger:
        found: Any = await ledger.acts.since(ledger.now().replace(year=2020))
    return [each for each in found if each.kind.startswith("decision.")]
