"""Why a request is refused: the status, and a sentence that names no person."""

import math

#: What the log has of a request that is not understood: it may hold anything.
NOT_UNDERSTOOD = "not understood"


class DoorError(Exception):
    """A request that is not done; `detail` goes to the caller, `logged` into the log."""

    status = 400

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def logged(self) -> str:
        """The same, unless it quotes what was typed."""
        return self.detail

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return {}


class Mistyped(DoorError):
    """A request that cannot be meant so; `detail` may quote it."""

    @property
    def logged(self) -> str:
        """Not what was typed."""
        return NOT_UNDERSTOOD


class Unauthenticated(DoorError):
    """No token and no session, or one that does not count."""

    status = 401

    @property
    def headers(self) -> dict[str, str]:
        """How to authenticate."""
        return {"WWW-Authenticate": 'Bearer realm="retirement"'}


class Forbidden(DoorError):
    """A person who is known, and to whom this is not granted."""

    status = 403


class Missing(DoorError):
    """What the request is about is not there, or is not for this person to know."""

    status = 404


class Conflict(DoorError):
    """What the request wants cannot be done as things are."""

    status = 409


class Unavailable(DoorError):
    """What the answer depends on does not answer: the provider, the ledger, the LMS."""

    status = 503


class TooLarge(DoorError):
    """More than a request of ours ever has."""

    status = 413


class TooMany(DoorError):
    """More requests than a person may send; the next one counts in so many seconds."""

    status = 429

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = seconds

    @property
    def headers(self) -> dict[str, str]:
        """When to ask again."""
        return {"Retry-After": str(math.ceil(self.seconds))}
