"""The rows of a claim, as the LMS hands them out and as the ledger seals them."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr, ValidationError


class _Wire(BaseModel):
    # hide_input_in_errors: a validation error would quote the learner otherwise.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _OrgConfig(_Wire):
    org: StrictStr
    field_headings: list[StrictStr] = []


class Reported(_Wire):
    """One row of a claim, as the LMS hands it out (contract, section 4.10)."""

    user_id: StrictInt
    original_username: StrictStr
    original_email: StrictStr
    original_name: StrictStr
    created: StrictStr
    orgs: list[StrictStr] = []
    #: Only of older releases, and then instead of `orgs`, with the columns that an organisation wants.
    orgs_config: list[_OrgConfig] | None = None
    student_id: StrictStr | StrictInt | None = None  #: only of older releases

    def __repr__(self) -> str:
        return f"<Reported {self.user_id}>"

    @property
    def organisations(self) -> list[str]:
        """The organisations whose courses the learner had taken."""
        named = self.orgs if self.orgs_config is None else [each.org for each in self.orgs_config]
        return sorted({org for org in named if org.strip()})

    def headings_of(self, org: str) -> tuple[str, ...]:
        """The columns that the LMS says an organisation wants; none where it says nothing."""
        given = (each.field_headings for each in self.orgs_config or () if each.org == org)
        return tuple(dict.fromkeys(name for names in given for name in names))

    def cell(self, column: str) -> object:
        """What stands in a column about the learner, but for the organisation."""
        if column in ("deletion_completed", "created"):
            return self.created
        return getattr(self, column)


def read(rows: Sequence[object]) -> tuple[list[Reported], list[object]]:
    """The rows that can be read, and those that cannot."""
    readable: list[Reported] = []
    odd: list[object] = []
    for row in rows:
        try:
            readable.append(Reported.model_validate(row))
        except ValidationError:
            odd.append(row)
    return readable, odd


def user_ids_of(odd: Sequence[object]) -> list[int]:
    """The user ids in rows that cannot be read, as far as they have one."""
    named = [row.get("user_id") for row in odd if isinstance(row, dict)]
    return [user_id for user_id in named if type(user_id) is int]


def per_org(rows: Sequence[Reported]) -> dict[str, int]:
    """How many learners of each organisation are in these rows, by its name."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        for org in row.organisations:
            counts[org] += 1
    return dict(sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class Origin:
    """The claim that the rows came with: its number, its day, and all of its organisations.

    Names of files are made of it, so that rows that are put into a claim of their own keep the names.
    """

    claim: int
    day: date
    orgs: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class SealedClaim:
    """What the ledger seals of a claim: the rows as they came, and the places where their files may be by now."""

    rows: list[Any]
    folder: Path | None
    platform: str
    #: Where each sink was when the claim was made, by name; none: a claim of a release with the folder only.
    places: dict[str, str] = field(default_factory=dict)
    #: Of rows that are what is left of another claim.
    origin: Origin | None = None

    def packed(self) -> bytes:
        """As bytes to seal."""
        found: dict[str, Any] = {"rows": self.rows, "platform": self.platform, "places": self.places}
        found["folder"] = None if self.folder is None else str(self.folder)
        if self.origin:
            found["origin"] = [self.origin.claim, self.origin.day.isoformat(), list(self.origin.orgs)]
        return json.dumps(found).encode()

    @classmethod
    def unpacked(cls, packed: bytes) -> "SealedClaim":
        """What `packed` gave."""
        found = json.loads(packed)
        folder = found["folder"] and Path(found["folder"])
        origin = None
        if given := found.get("origin"):
            origin = Origin(given[0], date.fromisoformat(given[1]), tuple(given[2]))
        return cls(found["rows"], folder, found["platform"], found.get("places", {}), origin)
