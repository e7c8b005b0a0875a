"""What the status of a regulation of Segment says about an erasure. Contract of the services, section B1.2.

A part of the connector SEGMENT. A destination that cannot delete is no failure of Segment's own part.
"""

from typing import Any

from retirement.connectors import Verdict

WORKING = frozenset({"INITIALIZED", "RUNNING"})
BROKEN = frozenset({"FAILED", "INVALID", "PARTIAL_SUCCESS"})
STATUSES = WORKING | BROKEN | {"FINISHED", "NOT_SUPPORTED"}


def verdict_of(data: object) -> Verdict | None:
    """What a regulation's status comes to; None where the answer is not one. Contract, section B1.2."""
    regulation = _regulation(data)
    overall = str(regulation.get("overallstatus"))
    if overall not in STATUSES:
        return None
    if overall == "FINISHED":
        return Verdict.GONE
    if overall in WORKING:
        return Verdict.WORKING
    found = _destinations(regulation.get("streamstatus"))
    if not found <= STATUSES:
        return None
    if overall == "INVALID" or not found or found & BROKEN:
        return Verdict.FAILED
    if found & WORKING:
        return Verdict.WORKING
    # What is left has finished or cannot delete: with an end, or a finished one, Segment's own part is done.
    return Verdict.GONE if "FINISHED" in found or regulation.get("finishedat") else Verdict.FAILED


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
