"""How long an answer may take and whether a call may be made: for the requests of a block, and for no others."""

from __future__ import annotations

from contextlib import suppress

import httpx
import pytest

from retirement.errors import LeaseLost, Transient
from retirement.wire.patience import Patience, patient, permitted

from .batches import retire
from .doubles import USERNAME, Forward, Script, World, holder, shipped

pytestmark = pytest.mark.anyio


def seconds(request: httpx.Request) -> float:
    """How long the answer to a request may take."""
    return float(request.extensions["timeout"]["read"])


async def test_a_move_after_a_slow_operation_keeps_its_own_time_limit(world: World) -> None:
    """`unenroll` may take ten minutes; the move that ends its step may take two, as the one before it."""
    allowed: dict[str, set[float]] = {}

    async def around(request: httpx.Request, forward: Forward) -> httpx.Response:
        allowed.setdefault(f"{request.method} {request.url.path}", set()).add(seconds(request))
        return await forward(request)

    line = shipped("default")
    world.seed(holder(), states=line.lms_states)
    site = world.site(line)
    learner = await world.learner(site, USERNAME)
    world.around = around

    await retire(site, learner)

    assert allowed["POST /api/enrollment/v1/unenroll/"] == {600}
    assert allowed["PATCH /api/user/v1/accounts/update_retirement_status/"] == {120}


async def test_patience_ends_with_its_block() -> None:
    """Also with a block inside, and when the request fails."""
    script = Script(httpx.Response(204), httpx.Response(204), httpx.Response(204), httpx.Response(503))
    api = script.api()

    with patient(Patience.SLOW):
        with patient(Patience.LOOKUP):
            await api.post("/x/")
        await api.post("/x/")
    await api.post("/x/")
    with suppress(Transient), patient(Patience.SLOW):
        await api.post("/x/", once=True)
    with suppress(Transient):
        await api.post("/x/", once=True)

    assert [seconds(each) for each in script.requests] == [30, 600, 120, 600, 120]


async def test_permission_ends_with_its_block() -> None:
    """A lease that was lost stops the requests of its own run only."""

    def lost() -> None:
        raise LeaseLost("the lease is lost")

    script = Script(httpx.Response(204))
    api = script.api()

    with pytest.raises(LeaseLost), permitted(lost):
        await api.post("/x/")
    await api.post("/x/")

    assert len(script.requests) == 1
