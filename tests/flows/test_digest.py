"""`retirement digest`: the same page as text, as files and as JSON, and what is in the way of a file; and a month."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from retirement.certificate import markup, paper
from retirement.config import load
from retirement.reports import month_page
from retirement.reports.month import read_month
from retirement.site import ledger_location
from tests import patient
from tests.flows.conftest import Command, Flow, Platform, sandbox
from tests.flows.post import hook, mail
from tests.ledger.desk import Clock, Desk, begin

pytestmark = pytest.mark.dear(seconds=30)

T = TypeVar("T")
MAIL, HOOK = "dpo-mail", "dpo-hook"
SEED = {
    "learners": [
        {"username": "canary-ana", "email": "ana@canary.example", "name": "Canary", "state": "PENDING", **when}
        for when in ({"requested_days_ago": 40},)
    ]
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A site with one learner, who is overdue."""
    with sandbox(tmp_path_factory.mktemp("site"), seed=SEED) as found:
        yield found


def test_the_page_is_a_file_a_paper_and_a_document(platform: Platform, retirement: Command, tmp_path: Path) -> None:
    """All with the same numbers; only this account reads the files, and no learner is named."""
    page, sheet = tmp_path / "today.html", tmp_path / "today.pdf"
    said = retirement("digest", "--html", page, "--pdf", sheet, "--json", "--config", platform.config)
    text = retirement("digest", "--config", platform.config)

    assert (said.code, text.code, text.err) == (0, 0, ""), said.err
    (late,) = said.document["overdue"]
    assert said.document["files"] == {"html": str(page), "pdf": str(sheet)}
    sentence = f"1 overdue: see `retirement status --user-id`: {late}"
    assert sentence in text.out
    assert sentence in json.loads(said.out)["to_do"]
    assert f"<li>1 overdue: see <code>retirement status --user-id</code>: {late}</li>" in page.read_text()
    assert sheet.read_bytes().startswith(b"%PDF-")
    assert {each.stat().st_mode & 0o777 for each in (page, sheet)} == {0o600}
    assert "canary" not in (said.out + text.out + page.read_text()).casefold()


@pytest.mark.parametrize("option", ["--html", "--pdf"])
def test_what_is_in_the_way_of_a_file_is_one_line(
    platform: Platform, retirement: Command, tmp_path: Path, option: str
) -> None:
    """A file that exists stays as it is, and no other file is left behind; the LMS is not asked."""
    there, other = tmp_path / "there", tmp_path / "other"
    there.write_text("old")
    before = len(platform.requests())
    exists = retirement("digest", option, there, "--config", platform.config)
    nowhere = retirement("digest", option, tmp_path / "no" / "where", "--config", platform.config)
    twice = retirement("digest", "--html", other, "--pdf", other, "--config", platform.config)

    assert (exists.code, exists.err) == (
        2,
        f"{option}: {there} exists already: name a new file, or move this one away\n",
    )
    assert (nowhere.code, nowhere.err.count("\n")) == (2, 1)
    assert nowhere.err.endswith("cannot be written: No such file or directory\n")
    assert (twice.code, other.exists(), there.read_text()) == (2, False, "old")
    assert len(platform.requests()) == before


async def last_month(desk: Desk) -> str:
    """A ledger in which one learner was retired in the month before this one, and another one has begun today."""
    now = datetime.now(UTC)
    desk.clock.time = now.replace(day=1) - timedelta(days=10)
    name = f"{desk.clock.time:%Y-%m}"
    async with desk.open() as ledger:
        await (await begin(ledger, 17)).end("retired", "", "COMPLETE")
        desk.clock.time = now
        await begin(ledger, 18)
    return name


def forget(engine: str, key: str) -> None:
    """Other tests write the page of the month on the same server."""
    body = {"artifacts": {"key": {"any_": [key]}}}
    for each in patient.post(f"{engine}/artifacts/filter", json=body).raise_for_status().json():
        patient.delete(f"{engine}/artifacts/{each['id']}").raise_for_status()


def test_a_month_is_the_same_by_command_and_by_flow_which_writes_it_once_by_itself(
    platform: Platform, retirement: Command, flow: Flow, engine: str, tmp_path: Path
) -> None:
    """With the first page of the day after its end; a run that is given the month writes it again.

    Channels get it as often, by mail and by HTTP: a run without `send` leaves it to the next one.
    """
    own = Platform(platform.urls, platform.clients, tmp_path / "retirement.yaml")
    shutil.copy(platform.config, own.config)
    with mail() as letters, hook() as posted:
        channels = [{"name": each, "url": box.url, "on": ["digest"]} for each, box in ((MAIL, letters), (HOOK, posted))]
        own.configure(ledger={"url": f"sqlite:///{tmp_path}/ledger.sqlite"}, notifications=channels)
        place = ledger_location(load(own.config))
        name = asyncio.run(last_month(Desk(place, Clock(), tmp_path)))
        key, found = f"retirement-month-{name}", read_month(place, name, datetime.now(UTC))
        forget(engine, key)
        months: list[list[int]] = []

        def seen(done: T) -> T:
            months.append([box.subjects().count(f"Retirement: the month {name}") for box in (letters, posted)])
            return done

        first = seen(flow("digest", config=str(own.config), send=False))
        second, third = (seen(flow("digest", config=str(own.config))) for _ in range(2))
        asked = seen(flow("digest", config=str(own.config), month=name))
        said = seen(retirement("digest", "--month", name, "--send", "--json", "--config", own.config))

    assert months == [[0, 0], [1, 1], [1, 1], [2, 2], [3, 3]]
    assert [box.files[f"retirements-{name}.pdf"] for box in (letters, posted)] == [
        paper.pdf(month_page.page_of(found))
    ] * 2
    assert [each.state for each in (first, second, third, asked)] == ["Written"] * 4
    assert [sorted(page["key"] for page in run.artifacts) for run in (first, second, third, asked)] == [
        sorted([key, "retirement-today"]),
        ["retirement-today"],
        ["retirement-today"],
        [key],
    ]
    pages = {page["data"] for run in (first, asked) for page in run.artifacts if page["key"] == key}
    assert pages == {markup.markdown(month_page.page_of(found))}
    assert said.document == month_page.document(found) | {
        "files": {"html": None, "pdf": None},
        "channels": [{"channel": each, "arrived": True, "problem": None} for each in (MAIL, HOOK)],
    }
    assert (said.document["retired"], said.document["over"]) == (1, True)
    assert "canary" not in f"{first}{asked}{said.out}{letters.messages}{posted.messages}".casefold()
