"""Which learners one run of the reconciler is about."""

from collections.abc import Collection
from dataclasses import dataclass, field

from retirement.ledger import learner_scope


@dataclass(frozen=True, slots=True)
class Selection:
    """All learners, or the one with that user id; `live` are the scopes of the leases that are held.

    `dry_run` changes nothing. `seen` are the user ids of learners who have a finding.
    """

    user_id: int | None
    live: Collection[str]
    dry_run: bool
    seen: set[int] = field(default_factory=set)

    def means(self, user_id: int) -> bool:
        """Whether the learner was chosen."""
        return self.user_id in (None, user_id)

    def is_live(self, user_id: int) -> bool:
        """Whether a run has the learner."""
        return learner_scope(user_id) in self.live

    def is_left(self, user_id: int) -> bool:
        """Whether the learner was chosen, has no finding yet and is with no run."""
        return self.means(user_id) and user_id not in self.seen and not self.is_live(user_id)
