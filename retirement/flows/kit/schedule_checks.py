"""What the doctor says of the schedules on a Prefect server. Imports nothing of Prefect."""

from datetime import UTC, datetime

from retirement.errors import EngineLost
from retirement.flows.kit.watchdog import Seen, seen
from retirement.site.doctor import Check, Verdict


async def schedule_checks(api_url: str) -> list[Check]:
    """Whether the schedules of the server live: a check for each."""
    now = datetime.now(UTC)
    try:
        return [_of_schedule(each, now) for each in await seen(api_url, now)]
    except EngineLost as error:
        return [Check("schedules", Verdict.WARNING, str(error), "is the server up?")]


def _of_schedule(each: Seen, now: datetime) -> Check:
    last = f"last {each.row['last']} ({each.last_state})" if each.last else "no run yet"
    if problem := each.problem(now):
        fix = "look into logs/engine.log below RETIREMENT_HOME, and start `retirement serve` again"
        return Check("schedule", Verdict.FAILURE, f"{problem}; {last}", fix)
    planned = f"next {each.row['next']}" if each.active else "paused"
    return Check("schedule", Verdict.OK, f"{each.name}: {each.schedule}, {last}, {planned}")
