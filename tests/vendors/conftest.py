"""Connectors of vendors against their simulated counterparts, without sockets."""

from __future__ import annotations

import json
import traceback
from datetime import timedelta
from typing import Any

import pytest

from retirement.connectors import Connector, Erasure, registry
from retirement.errors import RetirementError
from retirement.learner import Learner
from retirement.sandbox.vendors import VENDORS
from tests.unit.conftest import anyio_backend, world
from tests.unit.doubles import USERNAME, Clock, World, holder, names_nobody, shipped

#: The fixtures of the core serve here as well.
__all__ = ["Desk", "anyio_backend", "desk", "world"]


class Desk:
    """One vendor, whose module in the sandbox has this name, and the connector that talks to it."""

    def __init__(self, world: World, vendor: str) -> None:
        self.world, self.vendor = world, VENDORS[vendor]
        self.service = self.vendor.service
        self.world.seed(holder(vendors=[vendor]), states=shipped("default").lms_states)

    def seed(self, *learners: dict[str, Any]) -> None:
        """Other learners than the one whom the vendor knows."""
        self.world.seed(*learners, states=shipped("default").lms_states)

    def connector(self, **settings: Any) -> Connector:
        """A connector with the settings that `--write-config` gives, and these."""
        kind = registry()[self.service]
        urls = {app: f"http://{app}.sandbox" for app in self.world.clients}
        section = self.vendor.settings(urls[self.vendor.name], urls) | settings
        # However slow this machine is: the limits of a service are counted by a clock that stands.
        wiring, _ = self.world.wiring(Clock())
        return kind.connected(self.service, kind.Settings(**section), wiring)

    async def learner(self, username: str = USERNAME) -> Learner:
        """A learner of the seed, as the LMS describes them."""
        return await self.world.learner(self.world.site(shipped("default")), username)

    async def perform(self, operation: str, **settings: Any) -> Erasure:
        """One operation for the learner."""
        return await self.connector(**settings).perform(operation, await self.learner())

    async def error(self, operation: str, *faults: dict[str, Any], **settings: Any) -> RetirementError:
        """The error that an operation ends with, which names nobody."""
        learner, connector = await self.learner(), self.connector(**settings)
        self.arm(*faults)
        with pytest.raises(RetirementError) as caught:
            await connector.perform(operation, learner)
        assert names_nobody("".join(traceback.format_exception(caught.value)) + repr(caught.value.args))
        return caught.value

    def arm(self, *faults: dict[str, Any]) -> None:
        """Faults of the vendor, until the next call of this; a body that is no text is JSON."""
        self.world.sandbox.arm([{"times": 99, "service": self.vendor.name, **_as_text(fault)} for fault in faults])

    def pass_by(self, **time: float) -> None:
        """Lets time pass at the vendors."""
        self.world.sandbox.advance(timedelta(**time).total_seconds())

    def left(self, username: str = USERNAME) -> list[dict[str, str]]:
        """What is left of the learner at the vendor."""
        return self.world.sandbox.residue(username, self.vendor.name)

    def sent(self) -> list[tuple[str, str]]:
        """Method and path of every request to the vendor."""
        requests = self.world.sandbox.requests
        return [(each["method"], each["path"]) for each in requests if each["service"] == self.vendor.name]


def _as_text(fault: dict[str, Any]) -> dict[str, Any]:
    if isinstance(fault.get("body", ""), str):
        return fault
    return {"headers": {"content-type": "application/json"}, **fault, "body": json.dumps(fault["body"])}


@pytest.fixture
def desk(world: World, request: pytest.FixtureRequest) -> Desk:
    """Of the vendor that the test module names as VENDOR."""
    return Desk(world, request.module.VENDOR)
