"""`retirement digest`: the page of the day, for whoever has to answer for the retirements, as text and as files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from retirement.certificate import markup, paper
from retirement.certificate.page import Page
from retirement.cli.command import Call, command
from retirement.cli.files import new_file
from retirement.cli.output import tables
from retirement.errors import ConfigError
from retirement.flows.kit.server import in_use
from retirement.flows.kit.watchdog import next_runs
from retirement.reports import DONE, day
from retirement.reports.today import today_of
from retirement.site import opened


@command()
async def digest(
    call: Call,
    html: Annotated[
        Path | None, typer.Option("--html", help="New file for the page, for browsers.", show_default=False)
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", help="New file for the page, as PDF.", show_default=False)
    ] = None,
) -> int:
    """Write the page of the day for the data-protection officer: queue, deadlines, services, holds, approvals."""
    chosen = call.configuration
    with new_file("--html", html) as write_html, new_file("--pdf", pdf) as write_pdf:
        async with opened(chosen) as site:
            found = await today_of(chosen, site)
        page = day.page_of(found, await _next_runs())
        write_html(markup.html(page).encode())
        if pdf:
            write_pdf(paper.pdf(page))
    files = {"html": str(html) if html else None, "pdf": str(pdf) if pdf else None}
    call.show(found.document | {"files": files}, *_shown(page))
    return DONE


async def _next_runs() -> list[str] | None:
    """None where no Prefect server is up, or none that takes us."""
    try:
        with in_use() as engine:
            return await next_runs(engine.api_url) if engine else None
    except ConfigError:
        return None


def _shown(page: Page) -> Iterator[Any]:
    """The page for a terminal: its texts and tables."""
    yield page.title
    yield page.verdict
    for section in page.sections:
        yield ""
        yield section.title
        yield from section.sentences
        yield from (f"- {each}" for each in section.items)
        yield from tables(section.columns, section.rows)
