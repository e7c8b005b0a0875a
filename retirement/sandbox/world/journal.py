"""The log of requests, and the learner that each is about: what `GET /_sandbox/requests` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from retirement.sandbox.wire import Request
from retirement.sandbox.world.people import Person


class Journal:
    """Entries in order of arrival; `status` stays null when the connection closed without an answer."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def arrived(self, service: str, method: str, path: str) -> dict[str, Any]:
        entry = {"service": service, "method": method, "path": path, "status": None, "user_id": None}
        self.entries.append(entry)
        return entry


class Subjects:
    """Finds the learner that a request is about, by any of the keys that services use."""

    def __init__(self, people: Iterable[Person]) -> None:
        self._by_name: dict[str, int] = {}
        self._by_anonymous_id: dict[str, int] = {}
        self._by_retirement: dict[int, int] = {}
        self._user_ids: set[int] = set()
        for person in people:
            self._add(person)

    def _add(self, person: Person) -> None:
        self._user_ids.add(person.user_id)
        self._by_name |= dict.fromkeys((person.username, person.retired_username), person.user_id)
        self._by_anonymous_id[person.anonymous_id] = person.user_id
        if person.retirement_id is not None:
            self._by_retirement[person.retirement_id] = person.user_id

    def of(self, request: Request, arguments: Mapping[str, str]) -> int | None:
        """The LMS user id, by the arguments in the path or by the body.

        None for lists, for tokens, and for learners who are not in the seed.
        """
        if "username" in arguments:
            return self._named(arguments["username"])
        if "user_id" in arguments:
            return self._numbered(arguments["user_id"])
        return self._in_body(request)

    def _in_body(self, request: Request) -> int | None:
        if not request.body:
            return None
        data = request.fields()
        if "lms_user_id" in data:
            return self._numbered(data["lms_user_id"])
        if "retirement_id" in data:
            return self._by_retirement.get(_number(data["retirement_id"]))
        if "user" in data:
            return self._by_anonymous_id.get(str(data["user"]))
        if "username_mappings" in data:
            return self._in_mappings(data["username_mappings"])
        return self._named(data.get("username", data.get("original_username")))

    def _in_mappings(self, mappings: Any) -> int | None:
        """Only a list of one pair is about one person."""
        if not isinstance(mappings, list) or len(mappings) != 1 or not isinstance(mappings[0], dict):
            return None
        names = [name for pair in mappings[0].items() for name in pair]
        return next((found for name in names if (found := self._named(name)) is not None), None)

    def _named(self, name: Any) -> int | None:
        return self._by_name.get(name) if isinstance(name, str) else None

    def _numbered(self, number: Any) -> int | None:
        user_id = _number(number)
        return user_id if user_id in self._user_ids else None


def _number(value: Any) -> int:
    """0, which is no learner's id, for a value that is no number."""
    text = str(value)
    return int(text) if text.isdecimal() else 0
