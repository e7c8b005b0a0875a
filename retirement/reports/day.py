"""The page of the day: the numbers of `today` as sections, in one order for the artifact, the file and the letter."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from retirement.certificate.chart import Bar
from retirement.certificate.page import Page, Section
from retirement.connectors import Outcome
from retirement.ledger import Act, Hold
from retirement.reports.today import Today, bar_name, named

#: Acts that a page lists; the others are counted.
ACTS = 100


def page_of(found: Today, next_runs: Sequence[str] | None = None, *, with_reasons: bool = True) -> Page:
    """The page; `next_runs` are sentences on the schedules, None where no engine was asked.

    Without reasons what was typed freely stays here: a page that is sent away has the roles of those who acted only.
    """
    waits = f"matters for a person: {len(found.to_do)}" if found.to_do else "nothing waits for a person"
    ahead = [_list("Next runs", next_runs)] if next_runs is not None else []
    sections = (
        _list("What waits for a person", found.to_do),
        *_queue(found),
        *_services(found, with_reasons=with_reasons),
        *_people(found, with_reasons=with_reasons),
        *ahead,
    )
    return Page(
        title=f"Retirements on {found.now:%Y-%m-%d %H:%M} UTC",
        verdict=f"learners who wait for a run: {found.open.depth}; overdue: {len(found.overdue)}; {waits}",
        sections=sections,
        made_at=found.now,
        has_code=True,
    )


def _queue(found: Today) -> tuple[Section, ...]:
    line, ends = found.open, found.forecast
    counts = (("past the cool-off: the queue", line.depth), ("in the cool-off", line.cooling_off))
    oldest = f"Oldest open request: {f'{line.oldest:%Y-%m-%d}' if line.oldest else 'none'}."
    return (
        table("Depth of the queue", ("learners", "how many"), counts),
        table("Learners by state", ("state", "learners"), found.states.items(), oldest),
        counted("Days since the request", "days", line.ages, "Learners by days since the request"),
        counted("Time left to the deadline", "days", line.slack, "Learners by days left", bad=bar_name(0)),
        Section(
            "Forecast against the deadline",
            (
                f"At the pace of the last 28 days the queue is empty {_when(ends.clears_on)}.",
                f"Learners who will be late: {len(ends.breaches)}; in time by less than three days: {ends.at_risk}.",
            ),
            *_rows(
                ("learner", "due", "expected"),
                ((each.user_id, f"{each.due:%Y-%m-%d}", _when(each.expected)) for each in ends.breaches[:20]),
            ),
        ),
        table("Stuck, parked and errored", ("what keeps them", "learners", "user ids"), of_ids(found.stuck)),
    )


def _when(moment: object) -> str:
    return f"on {moment:%Y-%m-%d}" if moment else "in no time that can be seen"


def _services(found: Today, *, with_reasons: bool) -> tuple[Section, ...]:
    services = found.services
    receipts = (
        (name, count, len(late := services.overdue_receipts.get(name, ())), named(late))
        for name, count in services.open_receipts.items()
    )
    down = [(each.service, each.since, each.by, each.reason) for each in services.down]
    return (
        outcomes("Services, the last 24 hours", services.attempts),
        _stopped("Services that are not called", "service", down, with_reasons=with_reasons),
        table("Receipts", ("service", "open", "overdue", "overdue, by number"), receipts),
        table("What came back, the last 24 hours", ("reason", "learners", "user ids"), of_ids(services.came_back)),
    )


def _people(found: Today, *, with_reasons: bool) -> tuple[Section, ...]:
    paused = [(each.schedule, each.since, each.by, each.reason) for each in found.pauses]
    return (
        _stopped("Schedules that are paused", "schedule", paused, with_reasons=with_reasons),
        held("Holds in force", found.holds),
        acts("Approvals and other acts, the last 24 hours", found.acts),
    )


def _stopped(title: str, what: str, found: Iterable[tuple[str, datetime, str, str]], *, with_reasons: bool) -> Section:
    rows = ((name, f"{since:%Y-%m-%d %H:%M}", by, reason) for name, since, by, reason in found)
    kept = 4 if with_reasons else 3
    return table(title, (what, "since (UTC)", "by", "reason")[:kept], [row[:kept] for row in rows])


def held(title: str, holds: Iterable[Hold]) -> Section:
    """Holds, without the basis that was typed: `retirement hold list` has it."""
    rows = ((each.id, each.user_id, each.org, each.service or "all", each.until, each.by) for each in holds)
    return table(title, ("hold", "learner", "organisation", "service", "through", "placed by"), rows)


def acts(title: str, found: Sequence[Act], *, most: int | None = ACTS) -> Section:
    """Who did what: the name that was typed, and what was observed; the newest ones, None for all."""
    shown = found if most is None else found[-most:]
    more = f"{len(found) - len(shown)} earlier ones: `retirement ledger acts`." if len(found) > len(shown) else ""
    rows = (
        (f"{each.at:%Y-%m-%d %H:%M}", each.seq, each.kind, each.matter, each.user_id, each.claimed, each.seen)
        for each in shown
    )
    return table(title, ("at (UTC)", "entry", "act", "about", "learner", "named", "observed"), rows, more)


def of_ids(found: Mapping[str, Sequence[int]]) -> Iterable[tuple[object, ...]]:
    """Rows of what is so of these learners."""
    return ((what, len(ids), named(ids)) for what, ids in found.items())


def outcomes(title: str, services: Mapping[str, Mapping[str, int]]) -> Section:
    """What came of the attempts at each service; what is no outcome of a call is an error."""
    good = {each.value for each in Outcome}
    rows, bars = [], []
    for name, counts in services.items():
        well = sum(count for what, count in counts.items() if what in good)
        rows.append((name, ", ".join(f"{count} {what}" for what, count in counts.items())))
        bars.append(Bar(name, well, sum(counts.values()) - well))
    picture = "Attempts by service, those that failed last"
    return table(title, ("service", "what came of it"), rows, bars=bars, picture=picture)


def counted(title: str, what: str, counts: Mapping[str, int], picture: str, *sentences: str, bad: str = "") -> Section:
    """Learners by something, as a table and as bars; the bar of the name `bad` is one that has to be seen."""
    bars = [Bar(name, 0, count) if name == bad else Bar(name, count) for name, count in counts.items()]
    return table(title, (what, "learners"), counts.items(), *sentences, bars=bars, picture=picture)


def _list(title: str, lines: Sequence[str]) -> Section:
    return Section(title, items=tuple(lines) or ("nothing",))


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *sentences: str,
    bars: Sequence[Bar] = (),
    picture: str = "",
) -> Section:
    """A section with a table, and with a word where there are no rows."""
    head, cells = _rows(columns, rows)
    said = tuple(each for each in sentences if each)
    return Section(title, said if cells else (*said, "none"), head, cells, (), tuple(bars), picture)


def _rows(
    columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    return tuple(columns), tuple(tuple("" if cell is None else str(cell) for cell in row) for row in rows)
