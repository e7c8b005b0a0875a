"""Our own dialect: what `Draft` has already, so that only its top level is looked at here."""

from retirement.config.document import Node
from retirement.config.draft import Draft, moved
from retirement.config.problems import Problems, nearest, shown
from retirement.config.settings import SCHEDULES, GeneralSettings

SECTIONS = (
    *(
        "lms",
        "ledger",
        "queue",
        "guard",
        "retry",
        "breaker",
        "engine",
        "databases",
        "notifications",
        "partners",
        "door",
    ),
    "archive",
    "services",
    "pipeline",
)
KEYS = (*SECTIONS, *GeneralSettings.model_fields)
#: Keys of earlier releases, and what they are called now.
FORMER = {"archive_days": "cleanup_days", "archive_schedule": "cleanup_schedule"}


def draft(root: Node, problems: Problems) -> Draft:
    """The file as a draft, with today's names for the keys of earlier releases."""
    entries: dict[str, Node] = {}
    for name, node in root.entries.items():
        now = FORMER.get(name, name)
        if now not in KEYS:
            problems.add(node.line, node.key, f"is no key here{nearest(shown(name), KEYS)}")
        elif now != name:
            _remark_former(node, now, problems, given_twice=now in root.entries)
        entries.setdefault(now, _in_a_line(node) if now in SCHEDULES else node)
    return Draft("own", moved(root, entries), named=lambda key: key)


def _remark_former(node: Node, now: str, problems: Problems, *, given_twice: bool) -> None:
    if given_twice:
        problems.add(node.line, node.key, f"is the former name of {now}; keep that one")
    else:
        problems.warn(node.line, node.key, f"is the former name of {now}, and works in this release only")


def _in_a_line(schedule: Node) -> Node:
    """`{cron: …, timezone: …}`, as Prefect's own files have it, in the one line that we keep."""
    given = schedule.entries
    if given.keys() != {"cron", "timezone"} or not all(isinstance(each.data, str) for each in given.values()):
        return schedule
    return Node(f"CRON_TZ={given['timezone'].data} {given['cron'].data}", schedule.line, schedule.key)
