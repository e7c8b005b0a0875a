"""The artifact of a month: its page under a key of its own, of which each run that writes it makes a new version."""

from prefect.artifacts import Artifact, acreate_markdown_artifact

from retirement.certificate import markup
from retirement.reports import month_page
from retirement.reports.month import Month


def _key(name: str) -> str:
    return f"retirement-month-{name}"


#: Ends the key of a month that goes on, whose page is not the one for the record.
_SO_FAR = "-so-far"


async def is_shown(name: str) -> bool:
    """Whether there is a page of the month, as YYYY-MM, from after its end."""
    return await Artifact.aget(_key(name)) is not None


async def show(month: Month) -> None:
    """Leaves the page."""
    page = month_page.page_of(month)
    key = _key(month.name) + ("" if month.is_over else _SO_FAR)
    await acreate_markdown_artifact(markup.markdown(page), key=key, description="A month for the record.")
