"""Who acted: what a person typed, and beside it what the process saw for itself."""

import ast
import asyncio
import getpass
import re
import socket
from pathlib import Path

import pytest

from retirement.ledger import Act, chain, claims, tables
from retirement.ledger.columns import Items, Words
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
    "cool-off.cut": "of the run that it lets through",
    "claim.parted": "of the report that began the claim",
    "claim.sealed": "of the report that began the claim",
    "claim.written": "of the report that began the claim",
    "decision.asked": "of the queue run that asks",
    "rename.done": "of the job that asked",
    "queue.ended": "of the queue run that began",
    "receipt.added": "of the run that called the service",
    "letter.began": "of the run that wrote the page",
    "letter.refused": "of the letter that began",
    "letter.taken": "of the letter that began",
    "report.delivered": "of the report that began the claim",
    "report.warned": "of the run that expires reports",
}
#: The same, for the entries of a learner's run.
LEDGER = Path("retirement/ledger")
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
    names = {
        "hold.added": "legal",
        "decision.made": "boss",
        "breaker.opened": "ops",
        "schedule.paused": "ops",
        "schedule.resumed": "night",
    }
    assert names.items() <= named.items()
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
    """A new kind has to be put into one of the two lists, and one that is gone out of it."""
    kinds = {kind for path in sorted(Path("retirement").rglob("*.py")) for kind in kinds_in(path)}
    following = FOLLOW.keys() | {kind for kind in kinds if kind.startswith(FOLLOWING)}

    assert kinds - chain.ACTS - following == set(), "put it into ACTS of retirement/ledger/chain.py, or into FOLLOW"
    assert chain.ACTS & following == set()
    assert (chain.ACTS | following) - kinds == set()


def kinds_in(path: Path) -> set[str]:
    """What can be the kind of an entry in a module: every text of that form in the ledger, and what others enter."""
    text = path.read_text(encoding="utf-8")
    found: list[ast.expr] = []
    if path.parent == LEDGER and path.name != "chain.py":
        found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    elif any(each in text for each in (".events.note", ".jobs.concern")):
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        told = [node for node in calls if ast.unparse(node.func).endswith((".events.note", ".jobs.concern"))]
        found = [node.args[0] for node in told]
        assert [node for node in found if not isinstance(node, ast.Constant)] == [], f"{path}: write the kind out"
    kinds = {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    if path.name == "claims.py":
        kinds |= {f"claim.{state}" for state in (claims.SEALED, claims.LOST, claims.WRITTEN, claims.DELIVERED)}
    return {kind for kind in kinds if re.fullmatch(r"[a-z-]+\.[a-z_-]+", kind) and not kind.startswith("ledger.")}


#: Columns of texts that programs make, and people do not type.
MADE = {
    "actions", "answer", "answered_by", "domain", "domain_digest", "email_digest", "ending", "error", "failing",
    "instance", "issuer", "key_id", "name", "operation", "org", "outcome", "pipeline", "reference", "result", "run_id",
    "schedule", "service", "state", "step", "subject", "trips", "used_by", "user_ids", "username_digest", "verdict",
}  # fmt: skip
EVIDENCE = sorted((each for each in tables.BY_NAME.values() if each.is_evidence), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", EVIDENCE, ids=lambda kind: kind.__name__)
def test_every_text_of_a_table_is_free_a_name_or_made_by_a_program(kind: type[tables.Row]) -> None:
    """A free text can be taken out once it is not needed; a name stands in the list of acts."""
    columns = tables.table_of(kind).columns
    texts = {each.name for each in columns if isinstance(each.type, (Items, Words))}

    assert kind.typed_by == tuple(each.name for each in columns if each.name in kind.typed_by)
    assert set(kind.matter) <= {each.name for each in columns} - chain.FREE_TEXT
    unknown = texts - chain.FREE_TEXT - set(kind.typed_by) - MADE
    assert unknown == set(), "name it in FREE_TEXT of retirement/ledger/chain.py, in typed_by of its class, or in MADE"
    if texts & chain.FREE_TEXT:
        assert "acted_on_until" in vars(kind), "how long do people act on its texts?"
    if kind.typed_by:
        assert bool(kind.matter) == (kind is not tables.Receipt), "what was the act about?"
