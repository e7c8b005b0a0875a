"""The learner, as one row of the LMS' retirement table describes them.

The wire names of the LMS (`original_username`, `current_state.state_name`, …) appear here and nowhere
else. Source: contract of `retirement_status`, section 4.3.
"""

import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictInt,
    StringConstraints,
    ValidationError,
)

# The route of `retirement_status` takes these characters and no others (contract, section 1.5).
_ROUTABLE = re.compile(r"[\w .@+-]+")

_Text = Annotated[str, StringConstraints(strict=True)]
_Name = Annotated[str, StringConstraints(strict=True, min_length=1)]


def _text(value: object) -> object:
    if not isinstance(value, str) or value.isdecimal():
        raise ValueError("a time is a text")
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("no time of this calendar") from None


_Time = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_in_utc)]


class _Wire(BaseModel):
    # hide_input_in_errors: a validation error would quote the learner otherwise.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _State(_Wire):
    state_name: _Name
    state_execution_order: StrictInt


class _Account(_Wire):
    id: StrictInt
    username: _Text


class _Row(_Wire):
    id: StrictInt
    user: _Account
    current_state: _State
    last_state: _State
    created: _Time
    modified: _Time
    original_username: _Name
    original_email: _Text
    original_name: _Text
    retired_username: _Name
    retired_email: _Text


class UnreadableRow(ValueError):
    """The status object has not the shape that the contract gives it; says where, never what it held."""


def is_routable(username: str) -> bool:
    """Whether a username fits into a path of the LMS; a name with `/` or `%` does not."""
    return bool(_ROUTABLE.fullmatch(username)) and username.strip(".") != ""


@dataclass(frozen=True, slots=True, repr=False)
class Learner:
    """One learner in retirement. Lives in memory only; anything that is stored names `user_id`.

    `username`, `email` and `name` are the original ones; `current_username` is what the account is
    called right now (the retired name once the LMS step is done).
    """

    user_id: int
    retirement_id: int
    username: str
    email: str
    name: str
    retired_username: str
    retired_email: str
    current_username: str
    state: str
    last_state: str
    requested_at: datetime
    changed_at: datetime

    def __repr__(self) -> str:
        return f"<Learner {self.user_id}>"

    @property
    def routable(self) -> bool:
        """Whether the original username fits into a path of the LMS."""
        return is_routable(self.username)

    @classmethod
    def from_row(cls, row: object) -> "Learner":
        """Reads one status object of the LMS; raises `UnreadableRow`."""
        try:
            wire = _Row.model_validate(row)
        except ValidationError as error:
            raise UnreadableRow(_places(error)) from None
        # What rows have in common is in memory once: a run holds as many rows as learners wait.
        username, current = wire.original_username, wire.user.username
        return cls(
            user_id=wire.user.id,
            retirement_id=wire.id,
            username=username,
            email=wire.original_email,
            name=wire.original_name,
            retired_username=wire.retired_username,
            retired_email=wire.retired_email,
            current_username=username if current == username else current,
            state=sys.intern(wire.current_state.state_name),
            last_state=sys.intern(wire.last_state.state_name),
            requested_at=wire.created,
            changed_at=wire.modified,
        )


def _places(error: ValidationError) -> str:
    fields = [".".join(str(part) for part in problem["loc"]) or "the whole" for problem in error.errors()]
    return f"the status object is not as the contract says at: {', '.join(fields)}"
