"""What the status of a regulation of Segment says about an erasure. Contract of the services, section B1.2.

A part of the connector SEGMENT. A destination that cannot delete is no failure of Segment's own part.
"""

from typing import Any

from retirement.connectors import Verdict

WORKING = frozenset({"INITIALIZED", "RUNNING"})
BROKEN = frozenset({"FAILED", "INVALID", "PARTIAL_SUCCESS"})
STATUSES = WORKING | BROKEN | {"FINISHED", "NOT_SUPPORTED"}
#: Overall statuses that say it, whatever the destinations have.
_SURE = {"FINISHED": Verdict.GONE, **dict.fromkeys(WORKING, Verdict.WORKING)}


def verdict_of(data: object) -> Verdict | None:
    """What a regulation's status comes to; None where the answer is not one. Contract, section B1.2."""
    regulation = _regulation(data)
    overall = str(regulation.get("overallstatus"))
    if sure := _SURE.get(overall):
        return sure
    found = _destinations(regulation.get("streamstatus"))
    if not {overall, *found} <= STATUSES:
        return None
    if overall == "INVALID":
        return Verdict.FAILED
    return _by_destinations(found, ended=bool(regulation.get("finishedat")))


def _by_destinations(found: set[str], *, ended: bool) -> Verdict:
    """What the statuses of destinations come to; `ended`: the regulation says when it ended."""
    if not found or found & BROKEN:
        return Verdict.FAILED
    if found & WORKING:
        return Verdict.WORKING
    # What is left has finished or cannot delete: with an end, or a finished one, Segment's own part is done.
    return Verdict.GONE if ended or "FINISHED" in found else Verdict.FAILED


def _regulation(data: object) -> dict[str, Any]:
    """The regulation of either API, its keys in one spelling."""
    for wrapper in ("data", "regulation"):
        if isinstance(data, dict) and isinstance(data.get(wrapper), dict):
            data = data[wrapper]
    return _spelled(data)


def _spelled(data: object) -> dict[str, Any]:
    return {str(key).replace("_", "").lower(): value for key, value in data.items()} if isinstance(data, dict) else {}


def _destinations(streams: object) -> set[str]:
    """The statuses of all destinations of all streams."""
    found: set[str] = set()
    for stream in streams if isinstance(streams, list) else []:
        destinations = _spelled(stream).get("destinationstatus")
        found |= {
            str(_spelled(each).get("status")) for each in (destinations if isinstance(destinations, list) else [])
        }
    return found
