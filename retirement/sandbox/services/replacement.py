"""Username replacement, as LMS and services share it (contract lms.md 4.14, services.md A1 to A3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from retirement.sandbox.routing import Call
from retirement.sandbox.wire import Answer, as_json

#: Renames one account in one transaction; the name really given, or None when it failed.
Rename = Callable[[Connection, str, str], str | None]


def mappings(data: Any) -> list[tuple[str, str]] | None:
    """The pairs of `username_mappings`, a list of one-pair objects; all are checked before any is used."""
    listed = data.get("username_mappings")
    if not isinstance(listed, list) or not all(isinstance(m, dict) and len(m) == 1 for m in listed):
        return None
    return [pair for mapping in listed for pair in mapping.items()]


def replaced(call: Call, refusal: Answer, rename: Rename) -> Answer:
    """200 even if every item failed: the two lists must be read."""
    pairs = mappings(call.request.data(forms=True))
    if pairs is None:
        return refusal
    done: list[dict[str, str]] = []
    failed: list[dict[str, str]] = []
    for old, new in pairs:
        given = rename(call.db, old, new)
        if given is None:
            failed.append({old: new})
        else:
            done.append({old: given})
    return as_json({"successful_replacements": done, "failed_replacements": failed})
