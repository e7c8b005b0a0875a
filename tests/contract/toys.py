"""Connectors that are wrong on purpose, one mistake each, beside one that is right (the contract is Braze's, B2).

They talk to the simulated Braze, which the suite takes for theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from pydantic import Field, SecretStr

from retirement.connectors import Connector, Erasure, FollowUp, Identity, Outcome, ServiceSettings, Verdict, operation
from retirement.errors import Misconfigured, NotFound, Refused, ServiceError
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.auth import HeaderAuth, bearer
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

DELETE, EXPORT = "/users/delete", "/users/export/ids"
LATER = FollowUp(timedelta(minutes=15), timedelta(hours=1), timedelta(days=2))


class Sound(Connector):
    """Does everything as it has to be done."""

    service = "TOY"

    class Settings(ServiceSettings):
        api_key: SecretStr = Field(description="Key of the toy.")

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:
        return bearer(settings.api_key)

    @operation(Identity.USER_ID, route=("POST", DELETE), asks="found", follow_up=LATER)
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        return self.read(await self.api.post(DELETE, json=self.body(learner)), learner)

    def body(self, learner: Learner) -> dict[str, Sequence[str]]:
        """What is sent."""
        return {"external_ids": [str(learner.user_id)]}

    def read(self, reply: Reply, learner: Learner) -> Erasure:
        """What an answer means."""
        count = reply.data.get("deleted") if isinstance(reply.data, dict) else None
        if not isinstance(count, int):
            raise Refused(self.api.service, f"POST {DELETE}", reply.status, "no count")
        return Erasure(Outcome.ACCEPTED, str(learner.user_id)) if count else Erasure(Outcome.ABSENT)

    async def found(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the profile is still there."""
        reply = await self.export(receipt)
        users = reply.data.get("users") if isinstance(reply.data, dict) else None
        if not isinstance(users, list):
            raise Refused(self.api.service, f"POST {EXPORT}", reply.status, "no list")
        return Verdict.PRESENT if users else Verdict.GONE

    async def export(self, external_id: str) -> Reply:
        """Harmless."""
        return await self.api.post(EXPORT, json={"external_ids": [external_id], "fields_to_export": ["external_id"]})

    async def probe(self, name: str) -> None:
        await self.export("0")


class SwallowsEvery404(Sound):
    """Takes whatever is 404 for a learner who is not there."""

    @operation(Identity.USER_ID, route=("POST", DELETE))
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        try:
            return await super().erase(learner)
        except (NotFound, Misconfigured) as error:
            if error.status != 404:
                raise
            return Erasure(Outcome.ABSENT)


class NamesTheLearner(Sound):
    """Says in an error whom it could not erase."""

    @operation(Identity.USER_ID, route=("POST", DELETE))
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        try:
            return await super().erase(learner)
        except Refused as error:
            raise Refused(error.service, error.request, error.status, f"cannot erase {learner.email}") from None


class Credulous(Sound):
    """Believes whatever has a 2xx before it."""

    def read(self, reply: Reply, learner: Learner) -> Erasure:
        """Nobody looks."""
        return Erasure(Outcome.ERASED)


class Careless(Sound):
    """Swallows every error of the service."""

    @operation(Identity.USER_ID, route=("POST", DELETE))
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        try:
            return await super().erase(learner)
        except ServiceError:
            return Erasure(Outcome.ABSENT)


class Blames(Sound):
    """Takes a server in trouble for a learner whom it will not take."""

    @operation(Identity.USER_ID, route=("POST", DELETE))
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        reply = await self.api.post(DELETE, json=self.body(learner), judge=lambda reply: reply.status == 500)
        return self.read(reply, learner)


class Breaks(Sound):
    """Takes every answer for an object."""

    def read(self, reply: Reply, learner: Learner) -> Erasure:
        """Nobody checks."""
        return Erasure(Outcome.ACCEPTED if reply.data["deleted"] else Outcome.ABSENT, str(learner.user_id))


class Impatient(Sound):
    """Sends once, and leaves the waiting to nobody."""

    @operation(Identity.USER_ID, route=("POST", DELETE))
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        return self.read(await self.api.post(DELETE, json=self.body(learner), once=True), learner)


class Talkative(Sound):
    """Tells the log whom it erases."""

    def body(self, learner: Learner) -> dict[str, Sequence[str]]:
        """As it should be, with a line too many."""
        logging.getLogger("retirement.toy").info("erasing %s", learner.username)
        return super().body(learner)


class TellsMore(Sound):
    """Sends the e-mail as well, and declares the id only."""

    def body(self, learner: Learner) -> dict[str, Sequence[str]]:
        """More than is needed."""
        return {**super().body(learner), "emails": [learner.email]}


class ShowsItsKey(Sound):
    """Holds its key as a text like others."""

    class Settings(ServiceSettings):
        api_key: str = Field(description="Key of the toy.")

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:  # type: ignore[override]
        return HeaderAuth("Authorization", f"Bearer {settings.api_key}")


class TakesAnySetting(Sound):
    """Lets a misspelt setting pass."""

    class Settings(Sound.Settings, extra="ignore"):
        pass


class SaysGone(Sound):
    """Has never seen anything that was not gone."""

    async def found(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Asks nobody."""
        return Verdict.GONE


class ProbesInEarnest(Sound):
    """Tries the deletion out."""

    async def probe(self, name: str) -> None:
        await self.api.post(DELETE, json={"external_ids": [str(number) for number in range(90, 120)]})


class DoesNothing(Sound):
    """Says that it has erased, and has asked somebody else."""

    @operation(Identity.USER_ID, route=("POST", EXPORT))
    async def erase(self, learner: Learner) -> Erasure:
        """Delete the profile of the learner."""
        await self.export(str(learner.user_id))
        return Erasure(Outcome.ERASED)


class Mute(Sound):
    """Does not say what it does."""

    @operation(Identity.USER_ID, route=("POST", DELETE))
    async def erase(self, learner: Learner) -> Erasure:
        return await super().erase(learner)
