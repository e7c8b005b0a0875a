"""Why a request is refused: the status, and a sentence that names no person."""


class DoorError(Exception):
    """A request that is not done; `detail` goes to the caller and into the log."""

    status = 400

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Unauthenticated(DoorError):
    """No token and no session, or one that does not count."""

    status = 401


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
