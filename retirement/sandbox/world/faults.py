"""Faults that are armed for the next requests: delays, lost answers, foreign answers (docs/contract/sandbox.md)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from retirement.sandbox.wire import HTML, Answer, Request


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection closes: without any answer, or after half of one."""

    cut: Answer | None = None


@dataclass(slots=True)
class Fault:
    """One armed fault; the fields are those of the format."""

    service: str = "lms"
    path: str = ""
    method: str | None = None
    times: int = 1
    delay_s: float = 0
    after: bool = False
    drop: bool = False
    truncate: bool = False
    partial: bool = False
    status: int | None = None
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def hits(self, request: Request) -> bool:
        return (
            self.times > 0
            and self.service == request.service
            and self.method in (None, request.method)
            and (self.path in request.path or self.path in request.raw_path)
        )

    @property
    def answer(self) -> Answer | None:
        """The answer that stands for the real one, if there is one."""
        if self.status is None:
            return None
        headers = {name.lower(): value for name, value in self.headers.items()}
        kind = headers.pop("content-type", HTML)
        return Answer(self.status, self.body.encode(), kind, tuple(headers.items()))

    @property
    def works(self) -> bool:
        """Whether the request is really done."""
        return self.after or self.partial or not (self.drop or self.status is not None)


class Faults:
    """The list of armed faults; the first that hits a request is used up by one."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, faults: Iterable[dict[str, Any]]) -> None:
        """Replaces the list. A key that is no field of a fault is a TypeError."""
        self._armed = [Fault(**fault) for fault in faults]

    def take(self, request: Request) -> Fault | None:
        for fault in self._armed:
            if fault.hits(request):
                fault.times -= 1
                return fault
        return None
