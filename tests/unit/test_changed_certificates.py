"""Whose certificates the ledger says have changed since an entry."""

from __future__ import annotations

import pytest

from retirement.ledger.extract import changed_since

from .cleaning import certificate, held, retired
from .doubles import USERNAME, World

pytestmark = pytest.mark.anyio


async def test_a_hold_whose_last_day_is_over_has_changed_one(world: World) -> None:
    """By no entry of its own: the certificate is as of the last one, whatever that is about."""
    site = await retired(world, USERNAME, "bo", days=0)
    kept = world.user_ids[USERNAME]
    await held(world, site, user_id=kept)
    placed = (await site.ledger.events.head()).seq
    assert not (await certificate(site, kept))["complete"]

    world.calendar.pass_by(days=9)
    await site.ledger.breakers.open("LMS", reason="on its last day", by="dpo")
    assert await changed_since(site.ledger, placed) == set()
    world.calendar.pass_by(days=1)
    assert await changed_since(site.ledger, placed) == set()
    await site.ledger.breakers.close("LMS", reason="the day after", by="dpo")

    assert await changed_since(site.ledger, placed) == {kept}
    assert (await certificate(site, kept))["complete"]
    await site.ledger.breakers.open("LMS", reason="later", by="dpo")
    assert await changed_since(site.ledger, (await site.ledger.events.head()).seq - 1) == set()
