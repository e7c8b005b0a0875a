"""Schedules: a time that comes, in a time zone that is said."""

from datetime import UTC, datetime

import pytest
from prefect._vendor.croniter import croniter

from retirement.config import Timed
from retirement.config.settings import SCHEDULES

from .desk import OWN, Desk

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
NEVER = "names a day that never comes; give one that the calendar has"
MADRID = 'schedule: "0 4 * * *"\ntimezone: Europe/Madrid\n'


@pytest.mark.parametrize("key", SCHEDULES)
@pytest.mark.parametrize("line", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "5 5 31 sep *", "0 0 31 2 mon"])
def test_a_day_that_never_comes_is_refused(desk: Desk, key: str, line: str) -> None:
    """Prefect takes such a line and never runs it; nobody would notice before the deadline has passed."""
    assert desk.problems(OWN + f'{key}: "{line}"\n') == [f"retirement.yaml:9: {key}: {NEVER}"]


@pytest.mark.parametrize("line", ["0 0 29 2 *", "0 0 29 2 mon", "0 0 31 1-4 *", "0 22-2 * * *", "0 0 * * sat-sun"])
def test_a_day_that_comes_seldom_is_taken(desk: Desk, line: str) -> None:
    """Leap days, a weekday beside one, months of which some have the day, ranges over the end."""
    assert len(desk.load(OWN + f'schedule: "{line}"\n').schedules["schedule"].next_times(NOON)) == 2


def test_a_line_is_read_in_utc_unless_a_zone_is_given(desk: Desk) -> None:
    """By `timezone` for all lines, by CRON_TZ or TZ for one, by the mapping that Prefect's files have."""
    for given, zone in (
        ('schedule: "0 4 * * *"\n', "UTC"),
        (MADRID, "Europe/Madrid"),
        (MADRID.replace('"0', '"CRON_TZ=Asia/Tokyo 0'), "Asia/Tokyo"),
        ('schedule: "TZ=America/Bogota 0 4 * * *"\n', "America/Bogota"),
        ('schedule: {cron: "0 4 * * *", timezone: Africa/Nairobi}\n', "Africa/Nairobi"),
    ):
        assert desk.load(OWN + given).schedules["schedule"] == Timed("0 4 * * *", zone)


def test_the_next_times_are_those_of_the_zone(desk: Desk) -> None:
    """Four o'clock in Madrid, before and after the clocks change."""
    times = desk.load(OWN + MADRID).schedules["schedule"].next_times(datetime(2026, 10, 24, tzinfo=UTC))

    assert [time.astimezone(UTC).hour for time in times] == [2, 3]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("timezone: Europe/Madird\n", "timezone: is no time zone of the tz database; did you mean Europe/Madrid?"),
        ("timezone: '+02:00'\n", "timezone: is no time zone of the tz database, such as Europe/Madrid or UTC"),
        ("schedule: CRON_TZ=MEZ1 0 4 * * *\n", "schedule: its CRON_TZ is no time zone of the tz database"),
        ("schedule: CRON_TZ= 0 4 * * *\n", "schedule: its CRON_TZ is no time zone of the tz database"),
        ("schedule: CRON_TZ=UTC 0 0 31 2 *\n", f"schedule: {NEVER}"),
        ("schedule: CRON_TZ=UTC daily\n", "schedule: must be a cron line of five fields, such as `0 4 * * *`"),
        ("schedule: {cron: 0 4 * * *}\n", "schedule: must be text"),
        ("schedule: {cron: 0 4 * * *, zone: UTC}\n", "schedule: must be text"),
    ],
)
def test_a_wrong_zone_is_told(desk: Desk, given: str, told: str) -> None:
    """With what would be right."""
    (problem,) = desk.problems(OWN + given)

    assert problem.startswith(f"retirement.yaml:9: {told}")


@pytest.mark.parametrize(
    "line",
    [
        *(
            "0 4 * * *",
            "*/15 0-4 1,15 jan-jun mon",
            "0 0 */2 * mon",
            "0 0 13 * fri",
            "30 22-2 * * *",
            "0 0 * * fri-mon",
        ),
        *("*/90 * * * *", "0 0 29 2 *", "0 0 29 2 mon", "5/20 3 * * 7", "0 0 1-7 * */3", "0 6 28-3 * *"),
    ],
)
def test_the_times_shown_are_the_times_at_which_prefect_runs(line: str) -> None:
    """Two readers of cron lines, one of which has to be right about the other."""
    prefect = croniter(line, NOON)

    assert [prefect.get_next(datetime) for _ in range(3)] == Timed(line, "UTC").next_times(NOON, 3)
