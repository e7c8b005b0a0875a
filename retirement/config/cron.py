"""Cron lines: whether one is right, whether its time ever comes, and in which time zone it is read.

Prefect runs the schedules and this module only reads them: both take the same lines, and a line that Prefect
would accept and never run (`0 0 31 2 *`) is refused here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from retirement.config.problems import close_to

UTC = "UTC"

_RANGE = re.compile(r"(?:\*|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>[1-9]\d?))?", re.ASCII)
_ZONED = re.compile(r"(?:CRON_)?TZ=(?P<zone>\S*)\s+(?P<cron>.*)", re.DOTALL)
_FORM = "must be a cron line of five fields, such as `0 4 * * *`"


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields of a cron line: its numbers, and the names of those that have one."""

    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    @property
    def last(self) -> int:
        """The number after which the field begins anew; 7 is Sunday once more."""
        return 6 if self.name == "day of week" else self.highest

    def takes(self, text: str) -> bool:
        """Whether this is what the field may hold, such as `1-5,*/10`."""
        return all(self._fits(part) for part in text.split(","))

    def _fits(self, part: str) -> bool:
        match = _RANGE.fullmatch(part)
        if match is None:
            return False
        try:
            ends = [self._number(end) for end in match.group("low", "high") if end is not None]
        except ValueError:
            return False
        return all(self.lowest <= end <= self.highest for end in ends)

    def _number(self, text: str) -> int:
        """What a number or a name stands for. Raises `ValueError` for anything else."""
        if text.isdecimal() and len(text) < 3:
            return int(text)
        return self.lowest + self.names.index(text.lower())

    def plain(self, text: str) -> str:
        """The field as cronsim reads it; it is one that the field takes."""
        return ",".join(map(self._plain, text.split(",")))

    def _plain(self, part: str) -> str:
        span, _, step = part.partition("/")
        if span == "*":
            return self._every(step)
        low, _, high = span.partition("-")
        first, last = self._number(low), self._number(high or low)
        if last >= first:
            return part
        return ",".join(map(str, self._around(first, last)[:: int(step or 1)]))

    def _every(self, step: str) -> str:
        """All numbers, or each of a step: `*/2` is a day that is given to Prefect, and none to cronsim."""
        if not step:
            return "*"
        return f"{self.lowest}-{self.last}/{step}" if "day" in self.name else f"*/{step}"

    def _around(self, first: int, last: int) -> Sequence[int]:
        """From `first` over the end of the field to `last`; of the two Sundays, 0 and 7, only one."""
        return [*range(first, self.last + 1), *range(self.lowest, last + 1)]


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Timed:
    """The five fields of a cron line, and the time zone in which they are read."""

    cron: str
    timezone: str

    def next_times(self, after: datetime, count: int = 2) -> list[datetime]:
        """The next times after a moment, in the line's own time zone; fewer where there are no more."""
        clock = CronSim(_plain(self.cron), after.astimezone(ZoneInfo(self.timezone)))
        return list(islice(clock, count))


def timed(line: str, timezone: str | None = None) -> Timed:
    """A line that has been checked; the zone before it (`CRON_TZ=ZONE`) goes before `timezone`, else it is UTC."""
    zone, cron = _parted(line)
    return Timed(cron, zone or timezone or UTC)


def _parted(line: str) -> tuple[str | None, str]:
    """The time zone before a line, None where there is none, and the line itself."""
    match = _ZONED.fullmatch(line)
    return (match["zone"], match["cron"]) if match else (None, line)


def problem_of(line: str, timezone: str | None = None) -> str | None:
    """Why this is no cron line to use, None where it is one."""
    zone, cron = _parted(line)
    if zone is not None and (problem := problem_of_zone(zone)):
        return f"its CRON_TZ {problem}"
    if problem := _problem_of_fields(cron):
        return problem
    usable = timezone if timezone in available_timezones() else UTC
    return None if _comes(timed(line, usable)) else "names a day that never comes; give one that the calendar has"


def _problem_of_fields(cron: str) -> str | None:
    texts = cron.split()
    if len(texts) != len(_FIELDS):
        return _FORM
    for text, field in zip(texts, _FIELDS, strict=True):
        if not field.takes(text):
            return f"its field for the {field.name} is no cron field from {field.lowest} to {field.highest}"
    return None


def problem_of_zone(name: str) -> str | None:
    """Why this is no time zone, None where it is one."""
    if name in available_timezones():
        return None
    hint = close_to(name, available_timezones())
    return f"is no time zone of the tz database{hint or ', such as Europe/Madrid or UTC'}"


def _comes(schedule: Timed) -> bool:
    """Whether it has two more times, by its days of the month alone as well: Prefect fails where those never come."""
    minute, hour, day, month, _ = schedule.cron.split()
    now = datetime.now(ZoneInfo(UTC))
    try:
        return all(len(each.next_times(now)) > 1 for each in (schedule, Timed(f"{minute} {hour} {day} {month} *", UTC)))
    except CronSimError:
        return False


def _plain(cron: str) -> str:
    """The line as cronsim reads it: Prefect takes ranges over midnight (`22-2`), and `*/2` as a day that is given."""
    return " ".join(field.plain(text) for text, field in zip(cron.split(), _FIELDS, strict=True))
