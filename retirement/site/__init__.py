"""A site: its wiring (`Site`), how it is opened, and the memory of one run over it (`Batch`)."""

from retirement.site.batch import Batch, ForumLane
from retirement.site.opening import evidence, is_ready, ledger_location, opened, ready, tokens_of
from retirement.site.site import Site
from retirement.site.stopping import Stop

__all__ = [
    "Batch",
    "ForumLane",
    "Site",
    "Stop",
    "evidence",
    "is_ready",
    "ledger_location",
    "opened",
    "ready",
    "tokens_of",
]
