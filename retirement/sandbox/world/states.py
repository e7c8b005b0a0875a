"""Retirement states: a site's list, and the rules of moving along it (contract lms.md 2.1 to 2.8)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from retirement.sandbox.world.database import folded

#: The platform's default list (contract lms.md 2.2).
DEFAULT_STATES = (
    "PENDING",
    "LOCKING_ACCOUNT",
    "LOCKING_COMPLETE",
    "RETIRING_FORUMS",
    "FORUMS_COMPLETE",
    "RETIRING_EMAIL_LISTS",
    "EMAIL_LISTS_COMPLETE",
    "RETIRING_ENROLLMENTS",
    "ENROLLMENTS_COMPLETE",
    "RETIRING_NOTES",
    "NOTES_COMPLETE",
    "RETIRING_LMS",
    "LMS_COMPLETE",
    "ERRORED",
    "ABORTED",
    "COMPLETE",
)
REQUIRED = ("PENDING", "ERRORED", "ABORTED", "COMPLETE")
DEAD_ENDS = ("ERRORED", "ABORTED", "COMPLETE")
#: The management command numbers states 1, 11, 21, … (contract lms.md 2.3).
FIRST_STEP, STRIDE = 1, 10
#: Row ids differ from step numbers and from list positions, so that code that mixes them up fails.
FIRST_ID = 31


class RetirementStateError(Exception):
    """The LMS' own error for moves and actions that the state does not allow."""


@dataclass(frozen=True, slots=True)
class State:
    """One row of the state table."""

    id: int
    name: str
    order: int

    @property
    def required(self) -> bool:
        return self.name in REQUIRED

    @property
    def dead_end(self) -> bool:
        return self.name in DEAD_ENDS

    @property
    def working(self) -> bool:
        """In such a state the guarded endpoints act. It is not checked that the state fits the step (2.7)."""
        return not self.required and not self.name.endswith("_COMPLETE")

    def __str__(self) -> str:
        return f"{self.name} (step {self.order})"


class States:
    """All states of the site, in order. They change by management command only, so the list may be kept."""

    def __init__(self, names: Sequence[str] = DEFAULT_STATES) -> None:
        self.all = [State(FIRST_ID + i, name, FIRST_STEP + STRIDE * i) for i, name in enumerate(names)]
        self._by_id = {state.id: state for state in self.all}
        self._by_name = {state.name: state for state in self.all}
        self._by_folded_name = {folded(state.name): state for state in self.all}

    def __getitem__(self, state_id: int) -> State:
        return self._by_id[state_id]

    def named(self, name: str) -> State:
        return self._by_name[name]

    def found(self, name: object) -> State | None:
        """As the database finds a state: in any case."""
        return self._by_folded_name.get(folded(str(name)))

    def found_all(self, names: Iterable[str]) -> list[State]:
        wanted = {folded(name) for name in names}
        return [state for state in self.all if folded(state.name) in wanted]

    def next_state(self, current: State, update: dict[str, Any]) -> State:
        """The state that a PATCH leads to: the checks of 2.8, in their order.

        The check for dead ends is left out because it never fires: it compares an object with names.
        """
        for key in ("username", "new_state", "response"):
            if key not in update:
                raise RetirementStateError(f"RetirementStatus: Required key {key} missing from update")
        for key in update:
            if key not in ("username", "new_state", "response", "force"):
                raise RetirementStateError(f"RetirementStatus: Unknown key {key} in update")
        new = update["new_state"]
        if update.get("force"):
            state = self.found(new)
            if state is None:
                raise LookupError("RetirementState matching query does not exist.")
            return state
        state = self._by_name.get(new) if isinstance(new, str) else None
        if state is None or state.order <= current.order:
            raise RetirementStateError(f"{new} does not exist or is an eariler state than current state {current}")
        return state
