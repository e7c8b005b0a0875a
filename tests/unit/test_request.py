"""Accounts are put into the queue: by user id, username or address, and by a file of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retirement.config import GuardSettings
from retirement.errors import ConfigError, Misconfigured, Transient
from retirement.followup.job import Asked
from retirement.followup.move_back import Finding
from retirement.followup.name_list import read_names
from retirement.followup.request import COLUMNS, DEFAULT, Entry, entries_of, looked_up
from retirement.sandbox.world.schema import metadata
from retirement.site import Site

from .doubles import World, holder, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
ASKED = Asked("dpo", "a letter of March")


def account(name: str, **changes: Any) -> dict[str, Any]:
    """An account that nobody has asked to retire."""
    made = holder(name, **changes)
    return {key: value for key, value in made.items() if key != "state"}


@pytest.fixture
def site(world: World) -> Site:
    world.seed(
        *(account(name) for name in ("bo-canary", "cy-canary", "di-canary", "x,canary")),
        account("ed-canary", email="ed@staff.example"),
        holder("waits-canary"),
        states=LINE.lms_states,
        worker_is_staff=True,
    )
    return world.site(LINE)


async def preview(site: Site, *entries: Entry, **guard: Any) -> list[Finding]:
    return [each async for each in (await looked_up(site, GuardSettings(**guard), entries)).preview()]


async def done(site: Site, *entries: Entry, asked: Asked = ASKED) -> list[Finding]:
    """A preview, and then what it shows."""
    job = await looked_up(site, GuardSettings(), entries)
    found = [each async for each in job.preview()]
    return [each async for each in job.do(found, asked)]


def waiting(world: World) -> set[str]:
    learners = world.sandbox.state()["learners"]
    return {name for name, each in learners.items() if each["retirement"]}


async def test_requests_are_made_with_who_and_why_in_the_ledger(world: World, site: Site) -> None:
    """Whatever names the account; a second time nothing is done, though the address is gone by then."""
    ids = world.user_ids
    entries = (
        Entry(user_id=ids["bo-canary"]),
        Entry(2, username="CY-canary", email="cycanary@mail.example"),
        Entry(3, email="DIcanary@mail.example"),
    )
    would = await preview(site, *entries)
    assert waiting(world) == {"waits-canary"}
    made = await done(site, *entries)
    again = await preview(site, *entries)

    three = [ids[name] for name in ("bo-canary", "cy-canary", "di-canary")]
    assert [(each.user_id, each.verdict.value) for each in would] == [(each, "would-request") for each in three]
    assert [(each.user_id, each.verdict.value) for each in made] == [(each, "requested") for each in three]
    assert [(each.user_id, each.verdict.value) for each in again] == [(each, "known") for each in three]
    assert waiting(world) == {"bo-canary", "cy-canary", "di-canary", "waits-canary"}
    events = await world.ledger.events.find()
    (act,) = [each for each in events if each.kind == "request.asked"]
    about = [(each.user_id, each.facts["job"]) for each in events if each.kind == "learner.requested"]
    assert (act.facts["by"], act.facts["reason"], act.facts["learners"]) == ("dpo", ASKED.reason, 3)
    assert about == [(each, act.seq) for each in three]
    assert "canary" not in str(events)
    assert (await world.ledger.verify()).ok


async def test_who_must_not_be_retired_is_left_and_why_is_said(world: World, site: Site) -> None:
    """Each is named by user id, or by the line of the file where there is none."""
    ids = world.user_ids
    await world.ledger.holds.add(
        user_id=ids["bo-canary"],
        org=None,
        service=None,
        basis="a case",
        until=world.calendar.now.date() + timedelta(days=9),
        by="dpo",
    )
    worker = await site.lms.accounts.own_id()
    found = await preview(
        site,
        Entry(1, username="bo-canary"),
        Entry(2, username="nobody-canary"),
        Entry(3, username="ed-canary"),
        Entry(4, user_id=ids["cy-canary"]),
        Entry(5, username="di-canary", email="cycanary@mail.example"),
        Entry(6, user_id=worker),
        Entry(7, username="x,canary"),
        Entry(8, user_id=ids["x,canary"]),
        Entry(9, username="waits-canary"),
        Entry(10, user_id=999_999),
        staff_ids=(ids["cy-canary"],),
        staff_domains=("staff.example",),
    )

    said = [(each.user_id, each.verdict.value, each.text) for each in found]
    unknown, own = "the LMS has no account of that name", "one of the site's own people, by guard.staff_ids or "
    comma = "its username has a comma, which the LMS' endpoint cannot carry"
    assert [(user_id, verdict) for user_id, verdict, _ in said] == [
        (ids["bo-canary"], "held"),
        (None, "left"),
        (ids["ed-canary"], "left"),
        (ids["cy-canary"], "left"),
        (ids["di-canary"], "left"),
        (worker, "left"),
        (None, "left"),
        (ids["x,canary"], "left"),
        (ids["waits-canary"], "known"),
        (None, "left"),
    ]
    texts = [text for _, _, text in said]
    assert texts[0].startswith("kept until ")
    assert texts[1] == f"line 2: {unknown}"
    assert (texts[2][8:].startswith(own), texts[3][8:].startswith(own)) == (True, True)
    assert texts[4] == "line 5: what stands there is not of one account"
    assert texts[5] == "line 6: this is the account by which the pipeline works"
    assert texts[6] == "line 7: a username with a comma cannot be looked up: give the user id"
    assert texts[7].startswith(f"line 8: {comma}")
    assert texts[9] == f"line 10: {unknown}"
    assert "canary" not in str(said)


async def test_an_account_that_was_retired_is_known(world: World, site: Site) -> None:
    """The ledger has it, though the account has another name by now."""
    await world.retire(site, "waits-canary")

    (found,) = await preview(site, Entry(user_id=world.user_ids["waits-canary"]))

    assert (found.verdict.value, found.state) == ("known", "COMPLETE")


async def test_an_account_twice_in_a_file_is_asked_for_once(world: World, site: Site) -> None:
    """By whatever it is named."""
    number = world.user_ids["bo-canary"]

    found = await preview(
        site, Entry(1, username="bo-canary"), Entry(2, user_id=number), Entry(3, username="BO-canary")
    )

    assert [(each.user_id, each.verdict.value) for each in found] == [(number, "would-request")]


async def test_a_request_whose_answer_is_lost_is_looked_for(world: World, site: Site) -> None:
    """The second answer says that it failed, since the first one was done."""
    fault = {"path": "bulk_retire_users", "after": True, "drop": True}
    world.sandbox.arm([fault | {"status": 504, "drop": False}])

    (made,) = await done(site, Entry(username="bo-canary"))

    assert (made.verdict.value, "bo-canary" in waiting(world)) == ("requested", True)


async def test_what_was_done_before_the_lms_went_away_stays_done(world: World, site: Site, monkeypatch: Any) -> None:
    """And the rest is asked for by the same command later."""
    monkeypatch.setattr("retirement.followup.request.AT_ONCE", 1)
    entries = [Entry(username=name) for name in ("bo-canary", "cy-canary")]
    job = await looked_up(site, GuardSettings(), entries)
    found = [each async for each in job.preview()]
    source = job.do(found, ASKED)
    first = await anext(source)
    world.sandbox.arm([{"path": "bulk_retire_users", "status": 503, "times": 99}])
    with pytest.raises(Transient):
        await anext(source)
    world.sandbox.arm([])

    assert first.verdict.value == "requested"
    assert [each.verdict.value for each in await preview(site, *entries)] == ["known", "would-request"]
    assert [each.verdict.value for each in await done(site, *entries)] == ["requested"]


async def test_what_has_changed_between_preview_and_yes_counts(world: World, site: Site) -> None:
    """A form may wait for days: a hold, and a name that is a stranger's by then."""
    names = ("bo-canary", "cy-canary", "di-canary")
    job = await looked_up(site, GuardSettings(), [Entry(username=name) for name in names])
    would = [each async for each in job.preview()]
    until = world.calendar.now.date() + timedelta(days=9)
    await world.ledger.holds.add(
        user_id=world.user_ids["bo-canary"], org=None, service=None, basis="a case", until=until, by="dpo"
    )
    table = metadata.tables["auth_user"]
    with world.sandbox._platform.world.database.transaction() as db:
        for name, new in (("cy-canary", "cyd-canary"), ("ed-canary", "cy-canary")):
            db.execute(table.update().where(table.c.learner == world.user_ids[name]).values(username=new))

    found = [each async for each in job.do(would, ASKED)]

    ids = [world.user_ids[name] for name in names]
    assert [(each.user_id, each.verdict.value) for each in found] == list(
        zip(ids, ("held", "left", "requested"), strict=True)
    )
    assert waiting(world) == {"di-canary", "waits-canary"}


async def test_a_mistyped_user_id_is_not_the_learner_without_an_address(world: World, site: Site) -> None:
    """Such a row has no name to be found by."""
    world.seed(account("bo-canary"), holder("mute", email=""), states=LINE.lms_states, worker_is_staff=True)

    (found,) = await preview(site, Entry(user_id=999_999))

    assert (found.user_id, found.verdict.value) == (None, "left")


async def test_an_lms_without_the_endpoint_is_said_with_what_helps(world: World, site: Site) -> None:
    """Nothing is half done: the endpoint refuses as a whole."""
    world.seed(account("bo-canary"), states=LINE.lms_states, worker_is_staff=True, bulk_retirement=False)

    with pytest.raises(
        Misconfigured, match=r"ENABLE_BULK_USER_RETIREMENT off: .*`./manage.py lms retire_user --user_f"
    ):
        await done(site, Entry(username="bo-canary"))
    assert waiting(world) == set()


@pytest.mark.parametrize("entry", [Entry(username="bo-canary"), Entry(email="a@b.example"), Entry(user_id=7)])
async def test_a_worker_who_is_not_staff_cannot_look_accounts_up(world: World, entry: Entry) -> None:
    """The LMS shows neither ids nor addresses of others to it."""
    world.seed(account("bo-canary"), states=LINE.lms_states)

    with pytest.raises(Misconfigured, match="only staff"):
        await looked_up(world.site(LINE), GuardSettings(), [entry])


async def test_a_reason_that_names_an_account_is_refused(world: World, site: Site) -> None:
    """Before anything is entered or asked for."""
    before = (await world.ledger.events.head()).seq

    with pytest.raises(ConfigError, match="reason: "):
        await done(site, Entry(username="bo-canary"), asked=Asked("dpo", "as bo-canary wishes"))
    assert ((await world.ledger.events.head()).seq, waiting(world)) == (before, {"waits-canary"})


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b"ana,ana@mail.example\n", [(1, None, "ana", "ana@mail.example")]),
        (b"\xef\xbb\xbfusername\r\nana\r\n\r\nbo\r\n", [(2, None, "ana", ""), (4, None, "bo", "")]),
        (b"Email, user_id\n ana@mail.example , 7\n", [(2, 7, "", "ana@mail.example")]),
        (b'username\n"x,y"\n', [(2, None, "x,y", "")]),
        ("username\nzoë\n".encode(), [(2, None, "zoë", "")]),
    ],
)
def test_files_as_spreadsheets_write_them_are_read(
    tmp_path: Path, content: bytes, entries: list[tuple[int, int | None, str, str]]
) -> None:
    """A mark of byte order, ends of lines, headings or none."""
    path = tmp_path / "accounts.csv"
    path.write_bytes(content)

    read = entries_of(path, read_names(path, COLUMNS, DEFAULT))

    assert [(each.line, each.user_id, each.username, each.email) for each in read] == entries


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", ": the file has no line"),
        (b"user_id,phone\n7,1\n", ":1: column 2 has another heading than user_id, username, email"),
        (b"email,Email\na,b\n", ":1: a heading stands there twice"),
        (b"username\nana,bo\n", ":2: 2 cells, where 1 are due: username"),
        (b"ana\n", ":1: 1 cells, where 2 are due: username, email"),
        (b"user_id\nseven\n", ":2: user_id is not the number of an account"),
        (b"user_id\n0\n", ":2: user_id is not the number of an account"),
        (b"username,email\n,\nana,\n\x20,x\n", None),
        (b"username\n\xff\xfe\n", ": is no text in UTF-8; save it as CSV UTF-8"),
        (b'username\n"ana\n', ": is no CSV: unexpected end of data"),
    ],
)
def test_a_file_that_is_not_right_is_one_line_for_each_problem(
    tmp_path: Path, content: bytes, problem: str | None
) -> None:
    """With the file and the line, and never with what stands there."""
    path = tmp_path / "accounts.csv"
    path.write_bytes(content)

    if problem is None:
        assert len(entries_of(path, read_names(path, COLUMNS, DEFAULT))) == 2
        return
    with pytest.raises(ConfigError) as raised:
        entries_of(path, read_names(path, COLUMNS, DEFAULT))
    assert str(raised.value) == f"{path}{problem}"


def test_of_many_problems_the_first_ten_are_said(tmp_path: Path) -> None:
    """And a hundred thousand lines are read at once."""
    path = tmp_path / "accounts.csv"
    path.write_text("username\n" + "a,b\n" * 12 + "".join(f"n{n}\n" for n in range(100_000)), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        read_names(path, COLUMNS, DEFAULT)
    path.write_text("username\n" + "".join(f"n{n}\n" for n in range(100_000)), encoding="utf-8")

    assert str(raised.value).splitlines()[9:] == [
        f"{path}:11: 2 cells, where 1 are due: username",
        "… and 2 more lines like these",
    ]
    assert len(entries_of(path, read_names(path, COLUMNS, DEFAULT))) == 100_000
    with pytest.raises(ConfigError, match=r"missing\.csv: cannot be read: No such file"):
        read_names(tmp_path / "missing.csv", COLUMNS, DEFAULT)
