"""Partner reports: everybody who was queued is in one delivered report, whatever gets lost on the way."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.errors import BusyElsewhere, ConfigError, Ending, Interrupted, LeaseLost, StateConflict, Transient
from retirement.ledger import opened
from retirement.partners import report as partners
from retirement.partners.destination import Destination, destination
from retirement.partners.files import COLUMNS
from tests.ledger.desk import claims_of

from .batches import batch_of
from .doubles import PERSONAL, USERNAME, Died, Forward, World, holder, line
from .reporting import CLEAN, ORGS, TAKE, WAITS, due, flags, lose_a_claim, queued, sent, told

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files go."""
    (tmp_path / "reports").mkdir()
    return tmp_path / "reports"


@pytest.fixture
def place(folder: Path) -> Destination:
    """The same, with the name of the platform."""
    return destination(folder, "https://campus.example/lms")


async def test_every_organisation_gets_one_file_with_its_learners(
    world: World, folder: Path, place: Destination
) -> None:
    """Columns as ever, readable by the owner only, names that name nobody; afterwards the LMS has forgotten."""
    site = await queued(world)

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.error, delivery.left, delivery.problems) == (None, {}, [])
    assert (delivery.learners, dict(delivery.orgs)) == (3, {"OrgA": 2, "OrgB": 1, "Zürich U.": 1})
    assert told(folder) == due()
    (claim,) = await claims_of(site.ledger)
    day = claim.began_at.date().isoformat()
    assert sorted(delivery.files) == sorted(path.name for path in folder.glob("*.csv"))
    assert f"campus.example_OrgA_{day}_claim-{claim.id}.csv" in delivery.files
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert (claim.state, len(claim.user_ids), flags(world)) == ("delivered", 3, {})
    first = (folder / f"campus.example_OrgB_{day}_claim-{claim.id}.csv").read_text(encoding="utf-8").splitlines()
    assert first[0] == ",".join(COLUMNS)
    assert (len(delivery.never_queued), sent(world, TAKE)) == (1, 1)


async def test_a_second_run_tells_nobody_twice(world: World, folder: Path, place: Destination) -> None:
    """Nor does it ask again for whom nothing was due."""
    site = await queued(world)
    await partners.deliver(site, batch_of(site), place)
    asked = sent(world, CLEAN)

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.learners, delivery.files, delivery.never_queued) == (0, {}, [])
    assert (told(folder), sent(world, CLEAN)) == (due(), asked)


async def test_a_learner_who_is_queued_again_after_a_report_is_in_no_second_file(
    world: World, folder: Path, place: Destination
) -> None:
    """The LMS was restored, say; the row goes all the same."""
    site = await queued(world)
    await partners.deliver(site, batch_of(site), place)
    learner = await world.learner(site, "bo")
    await world.force("bo", "RETIRING_LMS")
    await site.connectors["LMS"].perform("retirement_partner_queue", learner)

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.again, delivery.learners, told(folder), flags(world)) == (1, 0, due(), {})


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 504}, {"truncate": True}])
@pytest.mark.parametrize("after", [True, False], ids=["taken", "not-taken"])
async def test_a_lost_reply_loses_nobody(
    world: World, folder: Path, place: Destination, fault: dict[str, Any], after: bool
) -> None:
    """Case F: the same run finds who was flagged, queues them again, and leaves every row where it was."""
    site = await queued(world)
    world.sandbox.arm([{"path": TAKE, "method": "POST", "after": after, **fault}])

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.error, len(delivery.lost), delivery.left) == (None, 1, {})
    assert (told(folder), flags(world), len(delivery.never_queued)) == (due(), {}, 1)
    assert {world.state(name) for name in ORGS if name != "bo"} == {"COMPLETE"}
    assert world.state("bo") == WAITS
    assert len(delivery.queued_again) == (3 if after or "truncate" in fault else 0)
    endings = {each.user_id: each.ending for each in await site.ledger.learners.find()}
    assert Counter(endings.values()) == {"retired": 3, "parked": 1}
    assert (await site.ledger.verify()).ok


async def test_two_lost_replies_end_the_run_and_the_next_one_finds_everybody(
    world: World, folder: Path, place: Destination
) -> None:
    """A service that loses everything is left alone for a while."""
    site = await queued(world)
    world.sandbox.arm([{"path": TAKE, "method": "POST", "after": True, "drop": True, "times": 2}])

    first = await partners.deliver(site, batch_of(site), place)
    second = await partners.deliver(site, batch_of(site), place)

    assert isinstance(first.error, Transient)
    assert (len(first.lost), second.error, told(folder)) == (1, None, due())
    assert [each.state for each in await claims_of(site.ledger)] == ["lost", "lost", "delivered", "delivered"]


@pytest.mark.parametrize("after", [True, False], ids=["deleted", "not-deleted"])
async def test_a_question_whose_answer_is_lost_is_no_answer(
    world: World, folder: Path, place: Destination, after: bool
) -> None:
    """Whether the row was flagged is not known any more, so the learner is queued again to be sure."""
    site = await queued(world)
    await lose_a_claim(world, site)
    world.sandbox.arm([{"path": CLEAN, "method": "POST", "after": after, "drop": True, "times": 1}])

    first = await partners.deliver(site, batch_of(site), place)
    second = await partners.deliver(site, batch_of(site), place)

    assert isinstance(first.error, Transient)
    assert (second.error, second.left, told(folder), flags(world)) == (None, {}, due(), {})


@pytest.mark.parametrize("after", [True, False], ids=["deleted", "not-deleted"])
async def test_a_deletion_whose_reply_is_lost_is_repeated(
    world: World, folder: Path, place: Destination, after: bool
) -> None:
    """What the lost one had done counts as done."""
    site = await queued(world)
    world.sandbox.arm([{"path": CLEAN, "method": "POST", "after": after, "drop": True, "times": 1}])

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.error, told(folder), flags(world)) == (None, due(), {})


async def test_namesakes_are_told_apart(world: World, folder: Path, place: Destination) -> None:
    """The LMS deletes the rows of both when it is asked about one (contract, section 1.6)."""
    pipeline = line(("PARTNERS", "LMS", "retirement_partner_queue"), ("MISC", "LMS", "retirement_lms_retire_misc"))
    elder = holder("Dee", account_retired=True, email="elder@mail.example")  # so that the name could be taken again
    world.seed(holder("dee"), elder, states=pipeline.lms_states)
    site = world.site(pipeline)
    assert (await world.retire(site, "dee")).ending is Ending.RETIRED
    await lose_a_claim(world, site)
    assert (await world.retire(site, "Dee")).ending is Ending.RETIRED

    delivery = await partners.deliver(site, batch_of(site), place)

    everybody = {(name, org): 1 for name in ("dee", "Dee") for org in ("OrgA", "OrgB")}
    assert (delivery.error, delivery.left, told(folder), flags(world)) == (None, {}, everybody, {})


@pytest.mark.parametrize("state", ["ERRORED", "ABORTED"])
async def test_a_learner_who_is_not_on_the_way_waits(
    world: World, folder: Path, place: Destination, state: str
) -> None:
    """Nothing is asked, so nothing is lost; they are named until they are back."""
    site = await queued(world)
    await lose_a_claim(world, site)
    await world.force("bo", state)
    bo = world.sandbox.state()["learners"]["bo"]["user_id"]

    first = await partners.deliver(site, batch_of(site), place)
    await world.force("bo", WAITS)
    second = await partners.deliver(site, batch_of(site), place)

    assert (list(first.left), flags(world), told(folder)) == ([bo], {}, due())
    assert (second.left, second.queued_again) == ({}, [bo])


async def test_a_learner_whom_another_run_has_waits(world: World, folder: Path, place: Destination) -> None:
    """The question is asked, and the row moved by the next run."""
    site = await queued(world)
    await lose_a_claim(world, site)
    learner = await world.learner(site, "bo")
    lease = await site.ledger.learners.lease(learner, due_at=site.due_at(learner), pipeline="p")

    first = await partners.deliver(site, batch_of(site), place)
    await lease.end("parked", "", WAITS)
    second = await partners.deliver(site, batch_of(site), place)

    assert list(first.left.values()) == [f"another run has learner {learner.user_id}"]
    assert (second.left, told(folder), world.state("bo")) == ({}, due(), WAITS)


async def test_a_learner_who_is_gone_is_named_once(world: World, place: Destination) -> None:
    """The retirement was archived before the report: a person has to know, and cannot do anything twice."""
    site = await queued(world)
    await lose_a_claim(world, site)
    names = [name for name in ORGS if world.state(name) == "COMPLETE"]
    client = world.clients["lms"]
    token = await site.tokens.current()
    headers = {"Authorization": f"JWT {token}"}
    gone = await client.post("/api/user/v1/accounts/retirement_cleanup/", json={"usernames": names}, headers=headers)
    assert gone.status_code == 204

    first = await partners.deliver(site, batch_of(site), place)
    second = await partners.deliver(site, batch_of(site), place)

    assert (len(first.left), len(first.queued_again), second.left) == (3, 1, {})


async def test_the_lms_says_who_was_flagged_without_an_answer_at_all(
    world: World, folder: Path, place: Destination
) -> None:
    """A row that came between the two queries of a claim is flagged and not handed out (contract, section 2.11)."""
    site = await queued(world)

    async def swallow(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await _heard(request, forward)
        if request.url.path.endswith(TAKE) and request.method == "POST" and not swallowed:
            rows = answer.json()
            swallowed.append(rows.pop(0))
            return httpx.Response(200, json=rows)
        return answer

    swallowed: list[Any] = []
    world.around = swallow
    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.queued_again, told(folder)) == ([swallowed[0]["user_id"]], due())


async def test_a_row_that_nobody_can_read_keeps_nobody_waiting(world: World, folder: Path, place: Destination) -> None:
    """It stays sealed, and every run says so."""
    site = await queued(world)

    async def break_one(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await _heard(request, forward)
        if request.url.path.endswith(TAKE) and request.method == "POST" and answer.json():
            first, *others = answer.json()
            return httpx.Response(200, json=[first | {"orgs": "OrgA"}, *others])
        return answer

    world.around = break_one
    first = await partners.deliver(site, batch_of(site), place)
    second = await partners.deliver(site, batch_of(site), place)

    assert first.problems == second.problems
    assert (len(first.problems), first.learners) == (1, 2)
    assert told(folder) == Counter({key: 1 for key in due() if key[0] != USERNAME})
    assert USERNAME.encode() in await site.ledger.claims.unseal((await claims_of(site.ledger, "sealed"))[0].id)


async def test_two_runs_at_once_are_one(world: World, folder: Path, place: Destination) -> None:
    """The second one ends before it asks anything."""
    site = await queued(world)
    lease = await site.ledger.leases.take("partner-report", what="the partner report")

    with pytest.raises(BusyElsewhere, match="another run has the partner report"):
        await partners.deliver(site, batch_of(site), place)

    assert sent(world, TAKE) == 0
    await site.ledger.leases.release(lease)
    await partners.deliver(site, batch_of(site), place)
    assert told(folder) == due()


@pytest.mark.parametrize("stalls", [TAKE, "retirement_queue/", CLEAN])
async def test_a_run_that_was_overtaken_does_no_more(
    world: World, folder: Path, place: Destination, stalls: str
) -> None:
    """It hung in a request until its lease was over, and another run has done the work meanwhile."""
    site = await queued(world)
    await lose_a_claim(world, site)
    others: list[partners.Delivery] = []

    async def stall(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await _heard(request, forward)
        if request.url.path.rstrip("/").endswith(stalls.rstrip("/")):
            world.around = None
            world.calendar.pass_by(minutes=10)
            async with opened(site.ledger.location, clock=world.calendar) as ledger:
                other = replace(world.site(site.pipeline), ledger=ledger)
                others.append(await partners.deliver(other, other.batch(), place))
            asked.append(sent(world, CLEAN))
        return answer

    asked: list[int] = []
    world.around = stall
    first = await partners.deliver(site, batch_of(site), place)

    assert isinstance(first.error, LeaseLost | StateConflict)
    assert [each.error for each in others] == [None]
    assert (told(folder), flags(world), sent(world, CLEAN)) == (due(), {}, asked[0])


async def test_without_a_folder_nothing_is_claimed(world: World, tmp_path: Path) -> None:
    """A typing error must not put names anywhere."""
    site = await queued(world)

    with pytest.raises(ConfigError, match="is no folder"):
        await partners.deliver(site, batch_of(site), Destination(tmp_path / "nowhere", "x"))

    assert sent(world, TAKE) == 0


async def test_files_that_are_written_are_not_written_again(
    world: World, tmp_path: Path, folder: Path, place: Destination
) -> None:
    """A run that died before the LMS was told: the next one only tells the LMS, though the files were moved on."""
    site = await queued(world)
    world.around = _dies_at(lambda request: request.url.path.endswith(CLEAN + "/"))
    with pytest.raises(Died):
        await partners.deliver(site, batch_of(site), place)
    world.around = None
    assert told(folder) == due()
    folder.rename(tmp_path / "sent")
    folder.mkdir()

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.error, delivery.learners, list(folder.iterdir()), flags(world)) == (None, 0, [], {})


async def test_a_disk_that_fails_keeps_the_claim_for_its_folder(
    world: World, tmp_path: Path, folder: Path, place: Destination
) -> None:
    """No draft stays, and the other partners have theirs. What waits goes to no other folder."""
    site = await queued(world)

    async def block(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith(TAKE) and request.method == "POST":
            (claim,) = await claims_of(site.ledger, "begun")
            day = claim.began_at.date().isoformat()
            folder.joinpath(f"campus.example_OrgB_{day}_claim-{claim.id}.csv").mkdir()
        return await forward(request)

    world.around = block
    first = await partners.deliver(site, batch_of(site), place)
    assert first.error is None
    assert [line.split(":")[0] for line in first.problems] == ["partner OrgB, sink reports"]
    assert list(flags(world)) == [USERNAME]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    next(path for path in folder.iterdir() if path.is_dir()).rmdir()
    assert told(folder) == Counter({key: 1 for key in due() if key[1] != "OrgB"})
    world.around = None
    (tmp_path / "other").mkdir()

    elsewhere = await partners.deliver(site, batch_of(site), Destination(tmp_path / "other", "x"))
    second = await partners.deliver(site, batch_of(site), place)

    assert (len(elsewhere.problems), list((tmp_path / "other").iterdir())) == (1, [])
    assert (second.error, second.problems, told(folder), flags(world)) == (None, [], due(), {})


async def test_a_run_that_is_told_to_stop_stops_before_the_next_call(world: World, place: Destination) -> None:
    """And says so."""
    site = await queued(world)
    batch_of(site).stop.set(Interrupted("the run was told to stop"))

    delivery = await partners.deliver(site, batch_of(site), place)

    assert isinstance(delivery.error, Interrupted)
    assert sent(world, TAKE) == 0


async def test_nobody_is_named_but_in_the_files(world: World, place: Destination) -> None:
    """Not in the ledger, not in what a run says."""
    site = await queued(world)
    await lose_a_claim(world, site)

    delivery = await partners.deliver(site, batch_of(site), place)

    said = f"{partners.document(delivery)} {delivery} {await site.ledger.events.find()}"
    assert not [secret for secret in (*PERSONAL, "faye/slash") if secret in said]


async def _heard(request: httpx.Request, forward: Forward) -> httpx.Response:
    answer = await forward(request)
    await answer.aread()
    return answer


def _dies_at(wanted: Callable[[httpx.Request], bool]) -> Callable[[httpx.Request, Forward], Awaitable[httpx.Response]]:
    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if wanted(request):
            raise Died
        return await forward(request)

    return around
