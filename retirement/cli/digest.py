"""`retirement digest`: the page of the day, for whoever has to answer for the retirements, as text and as files."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retirement.certificate import markup, paper
from retirement.certificate.page import Page
from retirement.cli.command import Call, command
from retirement.cli.engine import engine_of
from retirement.cli.files import new_file
from retirement.cli.output import tables
from retirement.config import Occasion
from retirement.errors import ConfigError
from retirement.flows.kit.server import in_use
from retirement.flows.kit.watchdog import next_runs
from retirement.reports import DONE, SOME_FAILED, day, month_page
from retirement.reports.month import Month, read_month
from retirement.reports.today import Today, today_of
from retirement.site import ledger_location, opened

if TYPE_CHECKING:
    from retirement.flows.kit.channels import Arrival


@command()
async def digest(
    call: Call,
    html: Annotated[
        Path | None, typer.Option("--html", help="New file for the page, for browsers.", show_default=False)
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", help="New file for the page, as PDF.", show_default=False)
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Also send it to the channels that have the occasion `digest`.")
    ] = False,
    month: Annotated[
        str | None,
        typer.Option("--month", help="The page of that month, as YYYY-MM, instead; from the ledger alone."),
    ] = None,
) -> int:
    """Write the page of the day for the data-protection officer: queue, deadlines, services, holds, approvals."""
    chosen = call.configuration
    if send and not any(Occasion.DIGEST in each.occasions for each in chosen.notifications):
        raise ConfigError(f"{chosen.source}: notifications: no channel has the occasion digest; add it to its `on`")
    if month is not None:
        return await _of_the_month(call, month, html, pdf, send=send)
    with new_file("--html", html) as write_html, new_file("--pdf", pdf) as write_pdf:
        async with opened(chosen) as site:
            found = await today_of(chosen, site)
        page = day.page_of(found, await _next_runs())
        write_html(markup.html(page).encode())
        if pdf:
            write_pdf(paper.pdf(page))
    arrivals = await _sent(call, found) if send else []
    return _told(call, found.document, page, _files(html, pdf), arrivals)


async def _of_the_month(call: Call, month: str, html: Path | None, pdf: Path | None, *, send: bool) -> int:
    """The page of a month; nothing but the ledger is asked."""
    with new_file("--html", html) as write_html, new_file("--pdf", pdf) as write_pdf:
        found = read_month(ledger_location(call.configuration), month, datetime.now(UTC))
        page = month_page.page_of(found)
        write_html(markup.html(page).encode())
        if pdf:
            write_pdf(paper.pdf(page))
    arrivals = await _sent(call, found) if send else []
    return _told(call, month_page.document(found), page, _files(html, pdf), arrivals)


def _told(
    call: Call,
    document: dict[str, Any],
    page: Page,
    files: dict[str, str | None],
    arrivals: "list[Arrival]",
) -> int:
    channels = [each.row for each in arrivals]
    call.show(document | {"files": files, "channels": channels}, *_shown(page), *(each.sentence for each in arrivals))
    return SOME_FAILED if any(each.problem for each in arrivals) else DONE


def _files(html: Path | None, pdf: Path | None) -> dict[str, str | None]:
    return {"html": str(html) if html else None, "pdf": str(pdf) if pdf else None}


async def _sent(call: Call, found: Today | Month) -> "list[Arrival]":
    chosen = call.configuration
    async with engine_of(chosen):
        # Prefect reads its settings at import, and they are known since the server is up.
        from retirement.flows.kit.posting import send_month, send_today

        if not isinstance(found, Month):
            return await send_today(found, chosen)
        async with opened(chosen) as site:
            return await send_month(found, chosen, site.ledger, anew=True)


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
