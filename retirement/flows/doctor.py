"""The doctor as a flow: what would go wrong on this site, as a table. Changes nothing."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import State
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from retirement.flows.kit.artifacts import show_rows
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.logs import log_rows
from retirement.flows.kit.schedule_checks import schedule_checks
from retirement.flows.kit.served import served_configuration
from retirement.site.doctor import Check, Verdict, every_check

#: A notification shows the message of a state as one line.
FAILURES_IN_MESSAGE = 3


@door("doctor")
async def doctor() -> State[Any]:
    """Checks file, token, permission, every state and route, clock, deadline and schedules; changes nothing."""
    return await ending(_examine)


async def _examine() -> State[Any]:
    found = [each async for each in every_check(served_configuration())]
    url = get_current_settings().api.url
    found += await schedule_checks(str(url)) if url else []
    # What is wrong comes first.
    bad = [each for each in found if each.verdict is not Verdict.OK]
    rows = [each.row for each in [*sorted(bad, key=_order), *(each for each in found if each not in bad)]]
    summary = summary_of(found)
    log_rows(rows)
    await show_rows("retirement-doctor", rows, summary)
    if any(each.verdict is Verdict.FAILURE for each in found):
        return Failed(name="Unwell", message=summary)
    return Completed(name="Well", message=summary)


def summary_of(found: Sequence[Check]) -> str:
    """How many are well, and what the first failures are, for those who have the message of the state only."""
    counts = Counter(each.verdict for each in found)
    failures = [f"{each.name}: {each.detail}" for each in found if each.verdict is Verdict.FAILURE]
    shown = failures[:FAILURES_IN_MESSAGE] + ["…"] * (len(failures) > FAILURES_IN_MESSAGE)
    numbers = f"{len(failures)} failures, {counts[Verdict.WARNING]} warnings, {counts[Verdict.OK]} ok"
    return "; ".join([numbers, *shown])


def _order(check: Check) -> bool:
    return check.verdict is not Verdict.FAILURE
