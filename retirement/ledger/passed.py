"""What people who had signed in asked of Prefect through the door: who, what, and the form that they submitted.

A form is known by a keyed digest, since what is typed may name a learner. Only the door enters one, so a run that reads
a form from Prefect's database finds here whose it is, and a form that was posted past the door is nobody's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retirement.ledger import chain
from retirement.ledger.access import Access
from retirement.ledger.events import event_of
from retirement.ledger.tables import Entry

#: A request that changes something, which the door is about to pass on.
PASSED = "prefect.asked"
#: The flow of a request that a proxy passes on, where only method and path are seen.
UNSEEN = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what it does, with the id of a run or a deployment, and the name of the flow."""

    what: str
    id: str
    flow: str

    @property
    def facts(self) -> dict[str, Any]:
        """As the entry has it."""
        return {"what": self.what, "id": self.id, "flow": self.flow}


class Passed:
    """Enter what is passed on, and find who submitted a form."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def enter(self, asked: Asked, form: tuple[str, Mapping[str, Any]] | None = None) -> int:
        """Enters a request before it is passed on; `form` is the key under which Prefect keeps it, and the fields."""
        signed = {} if form is None else {"form": form[0], "digest": self._digests(*form)[0]}
        return await self._access.write(lambda tx: tx.enter(PASSED, facts=asked.facts | signed))

    async def person(self, run: str, key: str, fields: Mapping[str, Any]) -> str | None:
        """Who submitted this form of a run through the door, None for one that came another way.

        The newest entry of the form counts: Prefect takes one form of a pause, and refuses the others.
        """
        wanted = self._digests(key, fields)

        def look(tx: Any) -> str | None:
            # By the index of learners: an entry about none is one of few. The id keeps the others out of memory.
            ours = (Entry.user_id.is_(None), Entry.kind == PASSED, Entry.body.contains(run, autoescape=True))
            for entry in reversed(tx.rows(Entry, *ours)):
                facts = event_of(entry).facts
                if (facts["id"], facts.get("form")) == (run, key) and facts["digest"] in wanted:
                    person = facts.get(chain.OBSERVED, {}).get("person")
                    return None if person is None else str(person)
            return None

        return await self._access.read(look)

    def _digests(self, key: str, fields: Mapping[str, Any]) -> list[str]:
        text = chain.canonical([key, dict(fields)])
        return [each.form(text) for each in self._access.digests.every]
