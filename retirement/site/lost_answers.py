"""Lost answers in a row: one may be chance, several say that a service does not answer now."""

from collections import Counter

from retirement.errors import ServiceError


class LostAnswers:
    """Counts, for each service, the answers that were lost one after another in a run."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lost: Counter[str] = Counter()

    def note(self, error: ServiceError) -> bool:
        """Counts one more; True once so many were lost in a row that the service is not to be asked again."""
        self._lost[error.service] += 1
        return self._lost[error.service] >= self._most

    def answered(self, service: str) -> None:
        """Begins to count anew."""
        self._lost.pop(service, None)
