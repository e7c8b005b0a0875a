"""Usernames are replaced in the LMS first, and by its own final names in every service and the forum."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import httpx
import pytest

from retirement.errors import ConfigError, Misconfigured, Transient
from retirement.followup.job import Asked
from retirement.followup.move_back import Finding
from retirement.followup.name_list import read_names
from retirement.followup.name_pairs import COLUMNS, Pair, pairs_of, require_private
from retirement.followup.replace_usernames import RESULTS, looked_up
from retirement.sandbox.world.schema import metadata
from retirement.site import Site

from .doubles import Forward, World, holder, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")
ASKED = Asked("dpo", "names of real people")
SERVICES = ("credentials", "discovery", "ecommerce")


def account(name: str, **changes: Any) -> dict[str, Any]:
    """An account that nobody has asked to retire, in every service."""
    made = holder(name, vendors=[], **changes)
    return {key: value for key, value in made.items() if key != "state"}


@pytest.fixture
def site(world: World) -> Site:
    names = ("bo-canary", "cy-canary", "di-canary", "taken-canary")
    waits = holder("waits-canary")
    world.seed(*map(account, names), waits, states=LINE.lms_states, worker_is_staff=True)
    return world.site(LINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For the results, closed to all others."""
    made = tmp_path / "names"
    made.mkdir(mode=0o700)
    return made


async def preview(site: Site, folder: Path, *pairs: Pair) -> list[Finding]:
    return [each async for each in (await looked_up(site, pairs, folder)).preview()]


async def done(site: Site, folder: Path, *pairs: Pair) -> list[Finding]:
    """A preview, and then what it shows."""
    job = await looked_up(site, pairs, folder)
    found = [each async for each in job.preview()]
    return [each async for each in job.do(found, ASKED)]


def results(folder: Path) -> list[list[str]]:
    with (folder / RESULTS).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def named(world: World, name: str) -> set[str]:
    """What the account that was seeded by a name is called now, in the LMS and the credentials service."""
    learner = world.sandbox.state()["learners"][name]
    return {learner["account"]["username"], learner["credentials"]["username"]}


BO, CY = Pair(1, "bo-canary", "bob-canary"), Pair(2, "cy-canary", "taken-canary")


async def test_every_service_gets_the_final_name_of_the_lms(world: World, site: Site, folder: Path) -> None:
    """Also where the name is taken, and the LMS adds to it; the results are as the reference writes them."""
    would = await preview(site, folder, BO, CY)
    assert world.calls("credentials") == 0
    found = await done(site, folder, BO, CY)
    again = await preview(site, folder, BO, CY)

    ids = [world.user_ids[each.current] for each in (BO, CY)]
    assert [(each.user_id, each.verdict.value, each.text) for each in would] == [
        (ids[0], "would-rename", ""),
        (ids[1], "would-rename", "the name is taken: the LMS adds to it"),
    ]
    assert [(each.user_id, each.verdict.value) for each in found] == [(each, "renamed") for each in ids]
    assert [(each.user_id, each.verdict.value) for each in again] == [(each, "known") for each in ids]
    (suffixed,) = named(world, "cy-canary")
    assert (named(world, "bo-canary"), suffixed.startswith("taken-canary-")) == ({"bob-canary"}, True)
    assert results(folder) == [
        ["Original Username", "New Username", "Status"],
        ["bo-canary", "bob-canary", "SUCCESS"],
        ["cy-canary", suffixed, "SUCCESS"],
    ]
    assert (folder / RESULTS).stat().st_mode & 0o777 == 0o600
    services = [path.split()[0] for _, path in posts(world) if "replace" in path]
    assert services == ["lms", "credentials", "ecommerce", "discovery", "lms"]
    assert "canary" not in str([would, found, again, await world.ledger.events.find()])
    assert (await world.ledger.verify()).ok


def posts(world: World) -> list[tuple[str, str]]:
    """What was sent, in order."""
    return [(each["method"], f"{each['service']} {each['path']}") for each in world.sandbox.requests]


@pytest.mark.parametrize("service", SERVICES)
async def test_what_one_service_refuses_the_others_do_and_a_second_run_makes_up_for_it(
    world: World, site: Site, folder: Path, service: str
) -> None:
    """The reference leaves such an account out of every service after that one, for a person to triage."""
    world.sandbox.arm([{"service": service, "path": "replace_usernames", "status": 503, "times": 4}])
    (partly,) = await done(site, folder, BO)
    half = results(folder)[1]
    before = len(posts(world))
    (would,) = await preview(site, folder, BO)
    (whole,) = await done(site, folder, BO)

    sent = [path.split()[0] for _, path in posts(world)[before:] if "replace_usernames" in path]
    assert (partly.verdict.value, service.upper() in partly.text) == ("partly-renamed", True)
    assert half == ["bo-canary", "bob-canary", "PARTIALLY FAILED"]
    assert (would.verdict.value, would.text) == ("would-rename", f"lacking in {service.upper()}")
    assert (whole.verdict.value, sent) == ("renamed", [service])
    assert results(folder)[1] == ["bo-canary", "bob-canary", "SUCCESS"]
    assert named(world, "bo-canary") == {"bob-canary"}


async def test_a_failure_within_a_success_is_one(world: World, site: Site, folder: Path) -> None:
    """A 200 that lists the name as failed has done nothing; in the LMS, nothing goes on to the services."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.endswith("accounts/replace_usernames/"):
            body = {"successful_replacements": [], "failed_replacements": [{"bo-canary": "bob-canary"}]}
            return httpx.Response(200, json=body)
        return await forward(request)

    world.around = around
    (failed,) = await done(site, folder, BO)
    world.around = None

    assert (failed.verdict.value, failed.text) == ("failed", "the LMS did not replace the name")
    assert results(folder)[1] == ["bo-canary", "bob-canary", "FAILED"]
    assert world.calls("credentials") == 0
    assert (await done(site, folder, BO))[0].verdict.value == "renamed"


@pytest.mark.parametrize("pair", [BO, CY])
async def test_a_lost_answer_of_the_lms_is_looked_for_at_the_account(
    world: World, site: Site, folder: Path, pair: Pair
) -> None:
    """A second request would count as a success and not tell the suffix."""
    world.sandbox.arm([{"path": "accounts/replace_usernames/", "after": True, "status": 504}])

    (found,) = await done(site, folder, pair)

    assert found.verdict.value == "renamed"
    (name,) = named(world, pair.current)
    assert name.startswith(pair.desired)
    assert sum("lms" in path and "accounts/replace_usernames/" in path for _, path in posts(world)) == 1


async def test_a_run_that_dies_after_the_lms_goes_on_with_its_final_name(
    world: World, site: Site, folder: Path
) -> None:
    """By the user id, since neither ledger nor file has the name by then."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        answer = await forward(request)
        if request.url.path.endswith("accounts/replace_usernames/"):
            raise SystemExit
        return answer

    world.around = around
    with pytest.raises(SystemExit):
        await done(site, folder, CY)
    world.around = None
    (would,) = await preview(site, folder, CY)
    (found,) = await done(site, folder, CY)

    assert would.text == "lacking in CREDENTIALS, ECOMMERCE, DISCOVERY, FORUM"
    assert found.verdict.value == "renamed"
    assert len(named(world, "cy-canary")) == 1


async def test_a_pair_that_was_undone_by_hand_is_replaced_anew(world: World, site: Site, folder: Path) -> None:
    """The name is the old one again, so what the services did before does not count."""
    await done(site, folder, BO)
    await done(site, folder, Pair(1, "bob-canary", "bo-canary"))
    before = world.calls("credentials")

    (found,) = await done(site, folder, BO)

    assert (found.verdict.value, world.calls("credentials")) == ("renamed", before + 1)
    assert named(world, "bo-canary") == {"bob-canary"}


async def test_a_forum_that_is_not_there_is_nothing_to_rename(world: World, site: Site, folder: Path) -> None:
    """The reference's driver asks a path that no LMS has, and fails at each account."""

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        if "discussion" in request.url.path:
            return httpx.Response(404, html="<h1>Not Found</h1>")
        return await forward(request)

    world.around = around
    (found,) = await done(site, folder, BO)

    assert found.verdict.value == "renamed"


async def test_a_stranger_who_took_the_freed_name_is_not_renamed_by_the_same_file(
    world: World, site: Site, folder: Path
) -> None:
    """A second run with a file is meant for the accounts of the first one."""
    world.sandbox.arm([{"service": "credentials", "path": "replace_usernames", "status": 503, "times": 4}])
    await done(site, folder, BO)
    rename(world, "di-canary", "bo-canary")

    (found,) = await preview(site, folder, BO)
    assert await done(site, folder, BO) == []

    assert (found.user_id, found.verdict.value) == (world.user_ids["di-canary"], "left")
    assert "another account has the current name by now" in found.text
    assert "bo-canary" in named(world, "di-canary")


def rename(world: World, name: str, new: str) -> None:
    """By another hand, in the LMS only."""
    table = metadata.tables["auth_user"]
    with world.sandbox._platform.world.database.transaction() as db:
        db.execute(table.update().where(table.c.learner == world.user_ids[name]).values(username=new))


async def test_a_name_that_is_unknown_by_the_time_of_the_yes_is_no_success(
    world: World, site: Site, folder: Path
) -> None:
    """The LMS says so of it, and nothing goes on to the services."""
    job = await looked_up(site, [BO], folder)
    would = [each async for each in job.preview()]
    rename(world, "bo-canary", "bobby-canary")

    (found,) = [each async for each in job.do(would, ASKED)]

    assert (found.verdict.value, found.text) == ("failed", "the LMS did not replace the name")
    assert results(folder)[1] == ["bo-canary", "bob-canary", "FAILED"]
    assert world.calls("credentials") == 0


async def test_who_asks_to_retire_before_the_yes_is_not_renamed(world: World, site: Site, folder: Path) -> None:
    """The LMS finds the row of a retirement by the name that was."""
    job = await looked_up(site, [BO, CY], folder)
    would = [each async for each in job.preview()]
    await site.lms.requests.make(["bo-canary"])

    found = [each async for each in job.do(would, ASKED)]

    assert [(each.user_id, each.verdict.value) for each in found] == [
        (world.user_ids["bo-canary"], "left"),
        (world.user_ids["cy-canary"], "renamed"),
    ]
    assert "bo-canary" in named(world, "bo-canary")


async def test_who_retired_since_the_first_run_is_left(world: World, site: Site, folder: Path) -> None:
    """A retired name is no final name for services."""
    world.sandbox.arm([{"service": "credentials", "path": "replace_usernames", "status": 503, "times": 4}])
    await done(site, folder, BO)
    await site.lms.requests.make(["bob-canary"])
    learner = await world.learner(site, "bo-canary")
    lease = await world.ledger.learners.lease(learner, due_at=world.calendar.now, pipeline=None)
    await site.lms.rows.move(learner, "COMPLETE", "", since="PENDING", force=True)
    await lease.end("retired", "", "COMPLETE")

    (found,) = await preview(site, folder, BO)

    assert found.verdict.value == "left"


async def test_who_cannot_be_renamed_is_left_with_the_line(world: World, site: Site, folder: Path) -> None:
    """An unknown name counts as a success in the LMS; here it is none."""
    await world.retire(site, "waits-canary")
    world.seed(holder("waits-canary"), account("bo-canary"), states=LINE.lms_states, worker_is_staff=True)
    found = await preview(site, folder, Pair(4, "no-canary", "x-canary"), Pair(5, "waits-canary", "y-canary"))

    assert [(each.verdict.value, each.text) for each in found] == [
        ("left", "line 4: the LMS has no account of the current name"),
        ("left", "line 5: a retirement of the account is under way"),
    ]
    assert await done(site, folder, Pair(4, "no-canary", "x-canary")) == []


async def test_a_worker_who_may_not_replace_is_said_before_a_service_is_asked(
    world: World, site: Site, folder: Path
) -> None:
    """And one that is down ends the run; both leave the file of results."""
    world.sandbox.arm([{"path": "accounts/replace_usernames/", "status": 403, "times": 9}])
    with pytest.raises(Misconfigured, match="USERNAME_REPLACEMENT_WORKER"):
        await done(site, folder, BO)
    job = await looked_up(site, [BO], folder)
    found = [each async for each in job.preview()]
    world.sandbox.arm([{"path": "/api/user/", "status": 503, "times": 99}])
    with pytest.raises(Transient):
        [each async for each in job.do(found, ASKED)]
    assert results(folder)[1] == ["bo-canary", "bob-canary", "FAILED"]
    assert world.calls("credentials") == 0


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of two names each."""
    monkeypatch.setattr("retirement.followup.replace_usernames.AT_ONCE", 2)


async def test_names_go_out_a_part_at_a_time(world: World, site: Site, folder: Path, many: None) -> None:
    """What a later part meets leaves the earlier ones done."""
    pairs = [Pair(n, f"{name}-canary", f"new-{name}") for n, name in enumerate(("bo", "cy", "di"), 1)]

    found = await done(site, folder, *pairs)

    assert [each.verdict.value for each in found] == ["renamed"] * 3
    assert world.calls("credentials") == 2


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("a1,b1\nb1,a1\n", ["2: closes a circle of 2 lines, which begins in line 1: give one of the accounts a third"]),
        ("b1,c1\na1,b1\nc1,A1\n", ["3: closes a circle of 3 lines, which begins in line 1"]),
        ("a1,b1\nb1,c1\n", ["1: the desired name is the current name of line 2: replace that of line 2 first, in a"]),
        ("a1,b1\nc1,A1\n", ["2: the desired name is the current name of line 1: replace that of line 1 first, in a"]),
        ("a1,b1\na1,c1\n", ["2: the current name is the current name of line 1"]),
        ("a1,b1\nc1,B1\n", ["2: the desired name is the desired name of line 1"]),
        ("a1,A1\n", ["1: both names are the same, but for letter case"]),
        (",b1\n", ["1: the current name is missing"]),
        ("a1,\n", ["1: the desired name has 2 to 30 letters, digits and . @ + - _"]),
        ("a1,b c\n", ["1: the desired name has 2 to 30"]),
        (f"a1,{'b' * 31}\n", ["1: the desired name has 2 to 30"]),
        ("a1,b1,\n", ["1: 3 cells, where 2 are due: current, desired"]),
        ("current,wanted\na1,b1\n", ["1: column 2 has another heading than current, desired"]),
    ],
)
def test_a_file_that_could_rename_the_wrong_account_is_refused(
    tmp_path: Path, content: str, problems: list[str]
) -> None:
    """Circles, chains and doubles; each is one line, and no name stands in it."""
    path = tmp_path / "names.csv"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(ConfigError) as raised:
        pairs_of(path, read_names(path, COLUMNS, COLUMNS))
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{path}:{problem}") for line, problem in zip(lines, problems, strict=True)), lines


@pytest.mark.nightly
def test_a_circle_of_100_000_lines_is_one_line_and_a_chain_as_long_ten(tmp_path: Path) -> None:
    """In time that grows with the lines."""
    path, count = tmp_path / "names.csv", 100_000
    for last, said in ((0, 1), (count, 11)):
        path.write_text("".join(f"u{n},u{n + 1 if n + 1 < count else last}\n" for n in range(count)), encoding="utf-8")
        with pytest.raises(ConfigError) as raised:
            pairs_of(path, read_names(path, COLUMNS, COLUMNS))
        assert len(raised.value.args) == said


@pytest.mark.nightly
async def test_a_file_of_100_000_lines_is_worked_through(world: World, site: Site, folder: Path) -> None:
    """Of which the LMS has two accounts; a name that is unknown there goes to no service."""
    unknown = [Pair(n, f"u{n}", f"v{n}") for n in range(3, 100_003)]

    found = await done(site, folder, BO, Pair(2, "di-canary", "die-canary"), *unknown)

    assert [each.verdict.value for each in found] == ["renamed"] * 2
    assert (world.calls("credentials"), len(results(folder))) == (1, 100_003)
    assert len(posts(world)) < 4_100


def test_a_file_with_a_mark_of_byte_order_and_windows_ends_of_lines_is_read(tmp_path: Path) -> None:
    """As spreadsheets write it."""
    path = tmp_path / "names.csv"
    path.write_bytes("\ufeffdesired,current\r\nb1,a1\r\n".encode())

    (pair,) = pairs_of(path, read_names(path, COLUMNS, COLUMNS))
    assert (pair.line, pair.current, pair.desired) == (2, "a1", "b1")


def test_results_go_into_a_folder_of_the_owner_only(tmp_path: Path) -> None:
    """One line names the folder and what to do."""
    folder = tmp_path / "open"
    with pytest.raises(ConfigError, match=r"--output: .*open is no folder"):
        require_private(folder, "--output")
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="is open to others: `chmod 700` it"):
        require_private(folder, "--output")
    folder.chmod(0o700)
    assert require_private(folder, "--output") == folder
