"""The replacement of usernames that LMS, credentials, ecommerce and discovery share: one body, one answer.

A 200 may hold failures, even of every name, and an unknown username counts as a success. Contract of the LMS:
sections 4.14 and 4.17; of the services: sections A1.3, A2.2 and A3.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from retirement.wire.api import Api
from retirement.wire.reply import Reply
from retirement.wire.success import an_object

_DONE, _FAILED = "successful_replacements", "failed_replacements"
#: What proves it; the two lists have to be read.
ANSWER = an_object(_DONE, _FAILED)


@dataclass(frozen=True, slots=True, repr=False)
class Renamed:
    """The new name of each account that has one now, by the old name, and the old names of the others."""

    done: Mapping[str, str]
    failed: frozenset[str]


def body(names: Mapping[str, str]) -> dict[str, list[dict[str, str]]]:
    """The body of a request for these new names, by the old ones."""
    return {"username_mappings": [{old: new} for old, new in names.items()]}


def renamed(reply: Reply) -> Renamed:
    """What an answer says. Raises `Refused` where it is not as the contracts say."""
    done, failed = (_pairs(reply, reply.mapping.get(name)) for name in (_DONE, _FAILED))
    return Renamed(done, frozenset(failed))


async def replace(api: Api, path: str, names: Mapping[str, str]) -> Renamed:
    """Has one service replace usernames. Raises `ServiceError`."""
    return renamed(await api.post(path, json=body(names)))


def _pairs(reply: Reply, found: object) -> dict[str, str]:
    reason = "the two lists of results are missing"
    items = reply.items(found, lambda each: isinstance(each, dict), reason)
    pairs = [pair for item in items for pair in item.items()]
    if not all(isinstance(name, str) for pair in pairs for name in pair):
        raise reply.refused(reason)
    return dict(pairs)
