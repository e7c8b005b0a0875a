"""The page of the day as a file, looked at in a real browser: light and dark, on a desk and on a telephone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from retirement.certificate import markup
from retirement.ledger import LedgerLocation, opened
from retirement.reports.day import page_of
from tests.ledger.desk import KEY
from tests.unit.doubles import Calendar, World, names_nobody
from tests.unit.test_today import busy

pytestmark = pytest.mark.dear(seconds=20)

Scheme = Literal["light", "dark"]
#: Where `--images` keeps the pictures that the documents have.
IMAGES = Path(__file__).parents[2] / "docs" / "images"
SHOWN = ("digest-light-1280", "digest-dark-390")
WORDS = ("What waits for a person", "1 ERRORED", "Time left to the deadline", "Forecast", "Approvals", "Next runs")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a busy day, of a site without sockets; Playwright has an event loop in this thread."""
    folder = tmp_path_factory.mktemp("digest")

    async def make() -> None:
        calendar = Calendar()
        async with opened(LedgerLocation(f"sqlite:///{folder}/ledger.db", key=KEY), clock=calendar) as ledger:
            page = page_of(await busy(World(ledger, calendar)), ["queue: 0 4 * * * UTC, next 2026-03-01 04:00 UTC"])
        (folder / "today.html").write_text(markup.html(page), encoding="utf-8")

    thread = threading.Thread(target=lambda: asyncio.run(make()))
    thread.start()
    thread.join()
    return folder / "today.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_reads_well(
    page: Page, request: pytest.FixtureRequest, file: Path, scheme: Scheme, width: int
) -> None:
    """All of it by its own policy, no table or page wider than the screen, and axe-core finds nothing."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(file.as_uri())
    for words in WORDS:
        page.get_by_text(words).first.wait_for()
    found = Axe().run(page).response["violations"]
    name = f"digest-{scheme}-{width}"
    kept = IMAGES if request.config.getoption("images") and name in SHOWN else file.parent
    page.screenshot(path=kept / f"{name}.png", full_page=width == 1280, scale="css", animations="disabled")

    assert [each["id"] for each in found] == []
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.querySelectorAll('.wide')].every(each => each.scrollWidth <= each.clientWidth)")
    assert (page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)") == (
        scheme == "light"
    )
    assert page.evaluate("getComputedStyle(document.querySelector('rect.good')).fill") != "rgb(0, 0, 0)"
    assert names_nobody(page.content())
