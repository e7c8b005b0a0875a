"""Which routes a retirement asks, learned from runs without trouble, and which play a place belongs to."""

from __future__ import annotations

from collections.abc import Sequence

from tests.hostile.judging import records
from tests.hostile.plays import Part, Phase, Play
from tests.hostile.proxy import Route


def parts(plays: Sequence[Play]) -> list[Part]:
    """The plays with the places that belong to each."""
    seen: set[tuple[Route, Phase]] = set()
    found = []
    for play, record in zip(plays, records(plays), strict=True):
        found.append(Part(play, record, [each for each in record.spots if (each.place.route, each.phase) not in seen]))
        seen |= {(spot.place.route, spot.phase) for spot in record.spots}
    return found
