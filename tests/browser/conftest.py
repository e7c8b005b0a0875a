"""A real headless Chromium, where this machine has one."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.patient import PATIENCE

# Started without the services of its own that would look for the Internet.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# For a module, not the session: Playwright keeps an event loop running, and other tests start their own.
@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    path = next((each for each in found if each), None)
    if path is None:
        pytest.skip("no Chromium on this machine; `make browser` says how it looked for one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE * 1000)
        yield page
        browser.close()
