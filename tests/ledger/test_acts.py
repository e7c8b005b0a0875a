"""Who acted: what a person typed, and beside it what the process saw for itself."""

import ast
import asyncio
import getpass
import socket
from pathlib import Path

import pytest

from retirement.ledger import Act, chain
from retirement.process import acting, typed_into_a_form

from .desk import START, Desk, live_through

#: Entries that follow from an act: they hold the fence of a run, the number of what was entered, or the run's id.
FOLLOW = {
    "archive.cleared": "of the run that asked for it",
    "archive.named": "of the run that asks for the rows in it",
    "breaker.counted": "of the run whose call failed",
    "breaker.probing": "of the run that probes",
    "breaker.reset": "of the run whose call succeeded",
    "breaker.stays-open": "of the run that probed",
    "claim.parted": "of the report that began the claim",
    "claim.sealed": "of the report that began the claim",
    "claim.written": "of the report that began the claim",
    "decision.asked": "of the queue run that asks",
    "rename.done": "of the job that asked",
    "queue.ended": "of the queue run that began",
    "receipt.added": "of the run that called the service",
}
#: The same, for the entries of a learner's run.
FOLLOWING = ("learner.", "run.ended", "step.", "steps.")


async def acts(desk: Desk) -> list[Act]:
    async with desk.open() as ledger:
        return await ledger.acts.since(START)


def test_each_act_has_the_account_the_machine_and_the_way_in(desk: Desk) -> None:
    """Beside the name that was typed; what follows from an act has neither."""

    async def life() -> list[Act]:
        async with desk.open() as ledger:
            with acting("console"):
                await live_through(ledger)
            with acting("prefect", "run-7"):
                typed_into_a_form()
                await ledger.pauses.resume("queue", reason="it is done", by="night")
        return await acts(desk)

    found = {each.kind: each for each in asyncio.run(life())}

    assert set(found) <= chain.ACTS
    named = {kind: each.claimed for kind, each in found.items() if each.claimed}
    assert named == {
        "hold.added": "legal",
        "decision.made": "boss",
        "breaker.opened": "ops",
        "schedule.paused": "ops",
        "schedule.resumed": "night",
    }
    here = {"account": getpass.getuser(), "host": socket.gethostname()}
    assert found["hold.added"].observed == here | {"channel": "console"}
    assert found["schedule.resumed"].observed == here | {"channel": "form", "run": "run-7"}
    assert {"hold.added", "decision.made", "queue.began", "claim.began"} <= found.keys()


def test_all_that_was_done_about_a_learner_is_found(desk: Desk) -> None:
    """The runs as well, which the list of all acts leaves out."""

    async def life() -> list[Act]:
        async with desk.open() as ledger:
            await live_through(ledger)
            return await ledger.acts.about(17)

    assert ["run.began", "hold.added"] == [each.kind for each in asyncio.run(life())]


def test_callers_who_share_a_transaction_keep_their_own_ways(desk: Desk) -> None:
    """The writer puts what comes together into one transaction, in a thread that knows neither of them."""

    async def life() -> None:
        async with desk.open() as ledger:

            async def place(schedule: str, run: str) -> None:
                with acting("form", run):
                    await ledger.pauses.pause(schedule, reason="an upgrade", by="ops")

            await asyncio.gather(*(place(name, f"run of {name}") for name in ("queue", "verify", "cleanup")))

    asyncio.run(life())
    seen = [(each.observed or {}).get("run") for each in asyncio.run(acts(desk)) if each.kind == "schedule.paused"]
    assert sorted(map(str, seen)) == ["run of cleanup", "run of queue", "run of verify"]


@pytest.mark.parametrize(
    ("given", "seen"),
    [("ada", "ada"), ("DOM\\ada.ops", "DOM\\ada.ops"), ("", None), ("a b", None), ("x" * 65, None), ("[/b]\n", None)],
)
def test_sudo_is_named_where_it_can_be_the_name_of_an_account(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, given: str, seen: str | None
) -> None:
    """A variable can hold anything, and nothing else of it is repeated."""
    monkeypatch.setenv("SUDO_USER", given)

    async def life() -> None:
        async with desk.open() as ledger:
            await ledger.pauses.pause("queue", reason="an upgrade", by="ops")

    asyncio.run(life())
    (act,) = [each for each in asyncio.run(acts(desk)) if each.kind == "schedule.paused"]
    assert (act.observed or {}).get("sudo") == seen


def test_an_entry_of_an_older_release_has_nothing_observed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed all the same."""
    monkeypatch.setattr(chain, "ACTS", chain.ACTS - {"schedule.paused"})

    async def life() -> None:
        async with desk.open() as ledger:
            await ledger.pauses.pause("queue", reason="an upgrade", by="ops")

    asyncio.run(life())
    monkeypatch.undo()
    (act,) = [each for each in asyncio.run(acts(desk)) if each.kind == "schedule.paused"]
    assert (act.claimed, act.observed) == ("ops", None)


def test_every_kind_of_entry_is_an_act_or_follows_from_one() -> None:
    """A new kind has to be put into one of the two lists."""
    kinds = {kind for path in sorted(Path("retirement").rglob("*.py")) for kind in entered(path)}

    assert {"hold.added", "step.proved", "breaker.counted", "claim.sealed"} <= kinds
    unknown = {kind for kind in kinds - chain.ACTS - FOLLOW.keys() if not kind.startswith(FOLLOWING)}
    assert unknown == set()


def entered(path: Path) -> set[str]:
    """The texts in a module that can be the kind of an entry: the first arguments of what enters."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("enter", "_enter", "_turn"):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str) and "." in text}
    if path.name == "claims.py":
        found |= {f"claim.{state}" for state in ("sealed", "lost", "written", "delivered")}
    return found
