"""The page of a month for the record: the numbers of `month` as sections, and the ledger's head that proves them."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from retirement.certificate.page import Page, Section
from retirement.reports.day import acts, counted, of_ids, outcomes, table
from retirement.reports.month import Month
from retirement.reports.today import AGES, BARS, bar_name, binned


def page_of(month: Month) -> Page:
    """The page; of a month that is over it is the same each time."""
    late = sum(each["retired_at"] > each["due_at"] for each in month.retired)
    overdue = sum(_time(each["due_at"]) < month.until for each in month.open)
    name = month.name
    return Page(
        title=f"Retirements in {name}" if month.is_over else f"Retirements in {name}, so far",
        verdict=f"retired: {len(month.retired)}, of these late: {late}; "
        f"open at the end: {len(month.open)}, of these overdue: {overdue}",
        sections=(*_learners(month), *_services(month), *_people(month), _proof(month)),
        made_at=_time(month.head.at) if month.head else month.begin,
        subject=month.head.hash if month.head else "",
        has_code=True,
    )


def document(month: Month) -> dict[str, Any]:
    """Plain values, for `--json`."""
    head = month.head
    return {
        "month": month.name,
        "over": month.is_over,
        "first_seen": month.seen,
        "queue_runs": month.runs,
        "endings": dict(sorted(month.endings.items())),
        "retired": len(month.retired),
        "late": sum(each["retired_at"] > each["due_at"] for each in month.retired),
        "open": len(month.open),
        "services": {name: dict(sorted(counts.items())) for name, counts in sorted(month.attempts.items())},
        "came_back": {name: sorted(ids) for name, ids in sorted(month.came_back.items())},
        "acts": [each.seq for each in month.acts],
        "head": {"seq": head.seq, "at": head.at, "hash": head.hash} if head else None,
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _learners(month: Month) -> tuple[Section, ...]:
    took = [_time(each["retired_at"]) - _time(each["requested_at"]) for each in month.retired]
    left = [_time(each["due_at"]) - month.until for each in month.open]
    by_day = Counter(each["retired_at"][:10] for each in month.retired)
    counts = (
        ("retirements that a run began with for the first time", month.seen),
        ("retired", len(month.retired)),
        ("queue runs that ended", month.runs),
        *((f"runs of learners that ended as {ending}", count) for ending, count in sorted(month.endings.items())),
    )
    longest = f"The longest took {max(took, default=timedelta()).days} days from request to end." if took else ""
    return (
        table("The month", ("what", "how many"), counts),
        counted("Learners retired, by day", "day", dict(sorted(by_day.items())), "Learners retired by day"),
        counted("From request to retired", "days", binned(took, AGES), "Learners by days to the end", longest),
        counted("Open at the end", "days left", binned(left, BARS), "Learners by days left", bad=bar_name(0)),
    )


def _services(month: Month) -> tuple[Section, ...]:
    services = {name: dict(sorted(counts.items())) for name, counts in sorted(month.attempts.items())}
    state = {each["service"]: each["state"] for each in month.rows.get("breaker", {}).values()}
    opened = ((name, count, state.get(name)) for name, count in sorted(month.opened.items()) if count)
    came_back = {name: sorted(ids) for name, ids in sorted(month.came_back.items())}
    return (
        outcomes("Services", services),
        _receipts(month),
        table("Services that were not called", ("service", "times", "at the end"), opened),
        table("What came back: proofs that were made void", ("service", "learners", "user ids"), of_ids(came_back)),
    )


def _receipts(month: Month) -> Section:
    due = {key: each["due_at"] for key, each in month.rows.get("learner", {}).items()}
    left = [each for each in month.rows.get("receipt", {}).values() if each["result"] is None]
    waiting = Counter(each["service"] for each in left)
    late = Counter(
        each["service"] for each in left if _time(due[(each["user_id"], each["retirement_id"])]) < month.until
    )
    names = sorted({*month.receipts, *waiting})
    columns = ("service", "given in the month", "open at the end", "of these past the deadline")
    return table("Receipts", columns, ((name, month.receipts[name], waiting[name], late[name]) for name in names))


def _people(month: Month) -> tuple[Section, ...]:
    last = (month.until - timedelta(microseconds=1)).date().isoformat()
    holds = (
        (each["id"], each["user_id"], each["org"], each["service"] or "all", each["until"], each["placed_by"])
        for each in month.rows.get("hold", {}).values()
        if not each["released_at"] and each["until"] >= last
    )
    columns = ("hold", "learner", "organisation", "service", "through", "placed by")
    return table("Holds at the end", columns, holds), acts("Approvals and other acts", month.acts, most=None)


def _proof(month: Month) -> Section:
    head = month.head
    said = (
        f"Made from the ledger of {month.site or 'a site without a name'}, which was verified: "
        + (f"entries {month.first} to {head.seq}." if head and month.first else "no entry is of this month."),
        f"Head: entry {head.seq} of {head.at}: {head.hash}" if head else "",
        "`retirement ledger verify` checks the ledger; of a month that is over this page is the same each time."
        if month.is_over
        else "The month is over when an entry of a later one follows: until then the numbers may change.",
    )
    return Section("From which ledger", tuple(each for each in said if each))
