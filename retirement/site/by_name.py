"""Finds a learner by username or e-mail address, for an operator who does not know the user id.

The name stays in the memory of this process: rows that the LMS lists are compared with it here, and the ledger
compares digests. Only what neither shows is looked up by a username in a path of the LMS.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from retirement.errors import ConfigError
from retirement.learner import Learner, is_routable
from retirement.ledger import LearnerRecord, Ledger, comparable
from retirement.site.site import Site
from retirement.site.watch import ENDED, Watched, watch


@dataclass(frozen=True, slots=True, repr=False)
class Name:
    """What a learner was called before the retirement: a username or an e-mail address."""

    kind: str  #: `username` or `email`
    text: str

    def is_of(self, learner: Learner) -> bool:
        """Whether it is in the row of this learner; letter case does not count, as in the LMS."""
        own = learner.username if self.kind == "username" else learner.email
        return comparable(own) == comparable(self.text)

    async def retirements(self, ledger: Ledger) -> list[LearnerRecord]:
        """What the ledger has under it, an earlier request as a retirement of its own."""
        look_up = ledger.learners.by_username if self.kind == "username" else ledger.learners.by_email
        return await look_up(self.text)


async def find(site: Site, name: Name) -> int:
    """The user id of the learner with this name: one who waits or fails, or one whom the ledger knows.

    Raises `ConfigError` where there is none or more than one, without the name; `ServiceError`, `LedgerError`.
    """
    watched = await watch(site)
    found = {each.user_id: each.ending or "open" for each in await name.retirements(site.ledger)}
    found |= _rows(watched.learners, name) | await _ended(site, name)
    if not found:
        found = await _by_path(site, name)
    if len(found) == 1:
        return next(iter(found))
    option = f"--{name.kind}"
    if found:
        who = ", ".join(f"learner {user_id} ({what})" for user_id, what in sorted(found.items()))
        raise ConfigError(f"{option}: {len(found)} learners have it: {who}; give --user-id")
    why = "; ".join(["no row of the LMS and no retirement of the ledger has it", *await _unlooked(site, watched)])
    raise ConfigError(f"{option}: {why}")


def _rows(learners: Iterable[Learner], name: Name) -> dict[int, str]:
    return {each.user_id: each.state for each in learners if name.is_of(each)}


async def _ended(site: Site, name: Name) -> dict[int, str]:
    """Rows of a former driver: it may have brought them to their end, or to a state that nothing here names."""
    ended = [state for state in site.pipeline.lms_states if state in ENDED]
    found: dict[int, str] = {}
    async for page in site.lms.rows.pages(ended, 0):
        found |= _rows(page.learners, name)
    return found


async def _by_path(site: Site, name: Name) -> dict[int, str]:
    """A row in a state that nothing here names, which only a path with the username shows."""
    if name.kind != "username" or not is_routable(name.text):
        return {}
    row = await site.lms.rows.status(name.text)
    # What the LMS takes for the same name need not be it: two rows may differ in signs that it does not tell apart.
    return _rows([row], name) if row else {}


async def _unlooked(site: Site, watched: Watched) -> list[str]:
    """What could not be compared with the name."""
    unknown = sum((await site.ledger.learners.unknown_keys()).values())
    hidden = len(watched.unseen) + len(watched.unreadable)
    said = [
        (unknown, "retirements in the ledger are under a key that is not in ledger.keys"),
        (hidden, "rows could not be read: `retirement status` shows them"),
    ]
    return [f"{number} {text}" for number, text in said if number]
