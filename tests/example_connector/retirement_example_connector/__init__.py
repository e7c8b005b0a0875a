"""The library of a campus: one card for each learner, found by LMS user id.

Contract: invented for this example. DELETE answers 200 with the number of the card; who has none is a 404 in JSON.
The number is the receipt, under which the library still says whether the card is gone.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from pydantic import Field, SecretStr

from retirement.connectors import (
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Outcome,
    ServiceSettings,
    Success,
    Verdict,
    an_object,
    operation,
)
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.auth import bearer
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

CARD, NUMBER, HOURS = "/api/cards/by-learner/{user_id}", "/api/cards/{number}", "/api/opening-hours"


class LibraryCardsSettings(ServiceSettings):
    """What stands below `services.LIBRARY_CARDS`."""

    api_key: SecretStr = Field(description="Key of the library's API with the right to delete cards.")


class LibraryCards(Connector[LibraryCardsSettings]):
    """The cards of the campus library."""

    service = "LIBRARY_CARDS"
    answers: ClassVar[Mapping[str, Success]] = {f"GET {NUMBER}": an_object(), f"GET {HOURS}": an_object()}

    @classmethod
    def sign_in(cls, service: str, settings: LibraryCardsSettings, wiring: Wiring) -> Auth:
        """Sends the key as a bearer token."""
        return bearer(settings.api_key)

    @operation(
        Identity.USER_ID,
        route=("DELETE", CARD),
        absent_on_404=True,
        success=an_object("card"),
        asks="is_gone",
        follow_up=FollowUp(first=timedelta(hours=1), every=timedelta(days=1), overdue=timedelta(days=7)),
    )
    async def return_card(self, learner: Learner) -> Erasure:
        """Delete the learner's card."""
        reply = await self.api.delete(CARD, values={"user_id": learner.user_id})
        number = reply.mapping.get("card")
        if not isinstance(number, int) or isinstance(number, bool):
            # A 200 that proves nothing must never count as an erasure.
            raise reply.refused("the number of the card is missing")
        return Erasure(Outcome.ERASED, str(number))

    async def is_gone(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the library still has the card."""

        def unknown(reply: Reply) -> bool:
            return reply.status == 404 and reply.kind == "json"

        reply = await self.api.get(NUMBER, values={"number": receipt}, judge=unknown)
        return Verdict.GONE if reply.status == 404 else Verdict.PRESENT

    async def probe(self, name: str) -> None:
        """Reads the opening hours, for which the key is needed too."""
        await self.api.get(HOURS)
