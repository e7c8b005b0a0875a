"""The provider's word that a person has signed out there, or was shut out (OpenID Connect Back-Channel Logout)."""

import time
from collections.abc import Callable

from retirement.api.gate import Gate
from retirement.api.once import Once
from retirement.api.people import opaque
from retirement.api.refusals import DoorError
from retirement.api.tokens import LEEWAY_SECONDS, Claims, audiences

#: Seconds after which a logout token is no news.
NEWS_SECONDS = 300
_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


class Logouts:
    """Takes logout tokens, each once."""

    def __init__(self, gate: Gate, clock: Callable[[], float]) -> None:
        self._gate = gate
        # As long as one could be taken, however the two clocks differ.
        self._given = Once(NEWS_SECONDS + 2 * LEEWAY_SECONDS, clock)

    async def end(self, token: str) -> int:
        """Ends the sessions of a logout token (2.6); returns how many. Raises `DoorError`."""
        _, claims = await self._gate.provider.verified(token, ("iss", "iat"))
        self._require_news(claims)
        subject, session = (told if isinstance(told := claims.get(each), str) else None for each in ("sub", "sid"))
        if subject is None and session is None:
            raise DoorError("this logout token names neither a person nor a session")
        # One without a number is known by what was signed of it.
        number = claims.get("jti")
        if not self._given.is_first(number if isinstance(number, str) else token.rpartition(".")[0]):
            raise DoorError("this logout token was given before")
        return self._gate.sessions.end_of_provider(
            self._gate.provider.name, None if subject is None else opaque(subject), session
        )

    def _require_news(self, claims: Claims) -> None:
        """Raises `DoorError` for a token that is not for that, not for us, or old."""
        events = claims.get("events")
        is_of_logout = isinstance(events, dict) and _LOGOUT in events and "nonce" not in claims
        if not is_of_logout or self._gate.settings.client_id not in audiences(claims):
            raise DoorError("this is no logout token for the door")
        if time.time() - claims["iat"] > NEWS_SECONDS + LEEWAY_SECONDS:
            raise DoorError("this logout token is old")
