"""The page of the day: who waits and how long, what services did, who did what, what to do; names nobody."""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from retirement.certificate import markup, paper
from retirement.certificate.page import Page
from retirement.errors import Ending
from retirement.ledger import Act
from retirement.reports.day import acts, page_of
from retirement.reports.today import Today, today

from .doubles import USERNAME, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

LINE = shipped("default")


def printed(page: Page) -> str:
    """The texts of a page on paper."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", paper.pdf(page), re.DOTALL)
    return b"\n".join(zlib.decompress(each) for each in streams if each[:1] == b"x").decode("cp1252")


def said(page: Page, title: str) -> tuple[tuple[str, ...], ...]:
    """The rows of a section."""
    return next(each.rows for each in page.sections if each.title == title)


class Tags(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def of(world: World) -> Today:
    return await today(world.site(LINE), cool_off_days=7, per_run=200)


async def busy(world: World) -> Today:
    """One is errored, one overdue and held, one waits; a service is down by hand, and a schedule is paused."""
    people = [holder(requested_days_ago=10), holder("bo", requested_days_ago=40), holder("cy", requested_days_ago=1)]
    world.seed(*people, states=LINE.lms_states)
    world.sandbox.arm([{"service": "lms", "path": "retire_forum", "status": 400}])
    assert (await world.retire(world.site(LINE), USERNAME)).ending is Ending.ERRORED
    ledger, day = world.ledger, world.calendar.now.date() + timedelta(days=9)
    await ledger.breakers.open("CREDENTIALS", reason="a | sign, and <b>", by="ops")
    await ledger.pauses.pause("queue", reason="an upgrade", by="ops")
    await ledger.holds.add(user_id=world.user_ids["bo"], org=None, service=None, basis="a court", until=day, by="dpo")
    return await of(world)


async def test_the_page_counts_who_waits_and_says_what_to_do(world: World) -> None:
    """By state, by days and by service, with the command that helps."""
    found = await busy(world)
    bo, cy, errored = (world.user_ids[name] for name in ("bo", "cy", USERNAME))
    text = markup.markdown(page_of(found, ["retire-queue/queue-here: 0 4 * * * UTC, next 2026-03-01 04:00 UTC"]))

    assert found.states == {"ERRORED": 1, "PENDING": 2}
    assert (found.errored, found.overdue) == ((errored,), (bo,))
    assert (found.open.depth, found.open.cooling_off) == (1, 1)
    assert found.open.slack == {"overdue": 1, "at most 30": 2}
    assert found.open.ages == {"at most 7": 1, "at most 14": 1, "at most 60": 1}
    assert {"LMS": {"erased": 1, "Refused": 1}} == {name: dict(each) for name, each in found.services.attempts.items()}
    assert found.stuck == {"ERRORED": (errored,)}
    assert [each.split()[1] for each in found.to_do[:2]] == ["ERRORED:", "overdue:"]
    assert any("CREDENTIALS is not called since" in each for each in found.to_do)
    assert any("the schedule queue is paused since" in each for each in found.to_do)
    assert "a \\| sign, and \\<b\\>" in text
    assert "![Learners by days left: overdue: 1, at most 30: 2](data:image/svg+xml" in text
    assert "![Attempts by service, those that failed last: LMS: 1 + 1](" in text
    assert list(found.time_left) == [errored, cy]
    assert names_nobody(f"{text}{found.document}")


async def test_the_page_says_who_holds_stops_and_approves(world: World) -> None:
    """The role that was typed, and the account that was observed."""
    page = page_of(await busy(world))

    assert [row[-1] for row in said(page, "Holds in force")] == ["dpo"]
    assert [row[2:] for row in said(page, "Services that are not called")] == [("ops", "a | sign, and <b>")]
    listed = said(page, "Approvals and other acts, the last 24 hours")
    assert [(row[2], row[5]) for row in listed] == [
        ("breaker.opened", "ops"),
        ("schedule.paused", "ops"),
        ("hold.added", "dpo"),
    ]
    assert all(" on " in row[6] for row in listed)
    assert listed[0][3] == "service CREDENTIALS"


async def test_a_page_that_is_sent_away_has_no_text_that_was_typed_freely(world: World) -> None:
    """Reasons stay here; who acted is said."""
    found = await busy(world)
    page = page_of(found, with_reasons=False)
    forms = [markup.html(page), markup.markdown(page), printed(page)]

    assert not [form for form in forms if "a court" in form or "an upgrade" in form or "sign, and" in form]
    assert all("CREDENTIALS" in form and "ops" in form for form in forms)


async def test_the_forecast_leaves_out_who_is_held_and_says_who_will_be_late(world: World) -> None:
    """One run a night that takes one learner: the second one is too late."""
    people = [holder(name, requested_days_ago=days) for name, days in (("bo", 29.5), ("cy", 29.4), ("di", 29.3))]
    world.seed(*people, states=LINE.lms_states)
    day = world.calendar.now.date() + timedelta(days=9)
    held = world.user_ids["di"]
    await world.ledger.holds.add(user_id=held, org=None, service=None, basis="a court", until=day, by="dpo")

    found = await today(world.site(LINE), cool_off_days=7, per_run=1)

    assert [each.user_id for each in found.forecast.breaches] == [world.user_ids["bo"], world.user_ids["cy"]]
    assert found.document["forecast"]["late"] == [world.user_ids["bo"], world.user_ids["cy"]]


async def test_what_is_erased_once_more_has_come_back(world: World) -> None:
    """An LMS that has a learner back in an earlier state makes proofs void."""
    world.seed(holder(), states=LINE.lms_states)
    site = world.site(LINE)
    assert (await world.retire(site, USERNAME)).ending is Ending.RETIRED
    await world.force(USERNAME, "PENDING")
    await world.retire(site, USERNAME)

    found = await of(world)

    assert set(found.services.came_back.values()) == {(world.user_ids[USERNAME],)}
    assert names_nobody(str(found.services.came_back))


async def test_an_empty_site_has_an_empty_page(world: World) -> None:
    """Nothing is late, and nothing waits for a person."""
    world.seed(states=LINE.lms_states)

    found = await of(world)

    assert (found.to_do, found.open.oldest, dict(found.open.slack)) == ((), None, {})
    text = markup.markdown(page_of(found))
    assert "## What waits for a person\n\n- nothing\n" in text
    assert "nothing waits for a person" in text


async def test_the_file_needs_nothing_else_and_names_nobody(world: World) -> None:
    """No script, no address, no style but its own; tables have headers, charts have texts; typed text is text."""
    page = page_of(await busy(world), ["<b>x</b>: 0 4 * * *"])
    text = markup.html(page)
    tags = Tags(text).found

    assert {tag for tag, _ in tags} & {"script", "img", "link", "iframe", "form", "b", "object"} == set()
    assert [
        name for _, each in tags for name in each if name in ("href", "src", "style") or name.startswith("on")
    ] == []
    policy = next(each["content"] for tag, each in tags if each.get("http-equiv") == "Content-Security-Policy")
    assert policy
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    charts = [each for tag, each in tags if tag == "svg"]
    assert charts
    assert all(each["role"] == "img" and each["aria-label"] for each in charts)
    assert all(each["scope"] in ("col", "row") for tag, each in tags if tag == "th")
    assert sum(tag == "th" and each["scope"] == "row" for tag, each in tags) == sum(
        len(each.rows) for each in page.sections
    )
    assert "a | sign, and &lt;b&gt;" in text
    assert "<code>retirement redrive</code>" in text
    assert names_nobody(text + printed(page))


async def test_the_same_page_is_the_same_paper(world: World) -> None:
    """Byte for byte, with the bars of the charts."""
    page = page_of(await busy(world))

    assert paper.pdf(page) == paper.pdf(page)
    assert "Time left to the deadline" in printed(page)


def test_of_very_many_acts_the_newest_are_listed() -> None:
    """And the others are counted, with the command that shows them."""
    act = Act(1, datetime(2026, 3, 1, tzinfo=UTC), "hold.added", 17, "dpo", None)
    section = acts("Acts", [act] * 130)

    assert len(section.rows) == 100
    assert section.sentences == ("30 earlier ones: `retirement ledger acts`.",)
