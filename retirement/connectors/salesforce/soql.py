"""SOQL, the query language of Salesforce: literals that nothing can end early, and answers read to the last page.

Contract of the services, section B5.3: within single quotes a backslash, a quote and control characters are
escaped, any other sequence is an error. Encoding the whole for the URL comes after that, and is `http`'s.

The vendor's documentation: https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql.htm
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from retirement.connectors import empty_only
from retirement.errors import Misconfigured, Refused, ServiceError, Transient
from retirement.wire.api import Api
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply

DATA = "/services/data/v{version}"
QUERY, QUERY_ALL, MORE = f"{DATA}/query", f"{DATA}/queryAll", f"{DATA}/query/{{cursor}}"
#: More of one address is no ordinary person's.
MOST_RECORDS = 50
TOO_MANY = f"more than {MOST_RECORDS} records: a person has to look"

#: In one pass, so that no backslash of ours is escaped again.
_ESCAPES = str.maketrans(
    {chr(code): f"\\u{code:04x}" for code in (*range(32), 127)}
    | {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"}
    | {"\\": r"\\", "'": r"\'", '"': r"\""}
)
#: Codes of a record that is gone.
_GONE = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})
#: What other codes mean where the status alone does not say it.
_MEANINGS: Mapping[str, tuple[type[ServiceError], str]] = {
    "REQUEST_LIMIT_EXCEEDED": (Transient, "the org has used up its calls"),
    "UNABLE_TO_LOCK_ROW": (Transient, "another client works on the record"),
    "INVALID_FIELD": (Misconfigured, "the signed-in user cannot see a field that this needs"),
    "INVALID_TYPE": (Misconfigured, "the signed-in user cannot see Leads, Contacts, Tasks or Users"),
    "REQUIRED_FIELD_MISSING": (Misconfigured, "Tasks of this org have a required field that nothing fills"),
    "DELETE_FAILED": (Refused, "something hangs on the record: a portal user, cases or contracts"),
}
_NO_ROUTE = "api_version or the permissions of the signed-in user do not fit"


def literal(text: str) -> str:
    """A text as a literal; an empty one stands for every record that has no value, so ask before."""
    return f"'{text.translate(_ESCAPES)}'"


def one_of(texts: Iterable[str]) -> str:
    """What stands after IN."""
    return f"({', '.join(map(literal, texts))})"


def is_id(value: object) -> bool:
    """Whether this is the id of a record, which may stand in a path and in a receipt."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", value) is not None


def meant(reply: Reply) -> None:
    """Reads an answer by the contract, where the general table has it otherwise."""
    _raise_by_code(reply)
    if reply.status in (404, 410):
        raise reply.misconfigured(_NO_ROUTE)


def deleted(reply: Reply) -> bool:
    """As `meant`, for deletions: there a 404 may also be that of a record which is gone, which is a success."""
    if reply.status == 404 and _codes(reply) & _GONE:
        return True
    empty_only(reply)
    _raise_by_code(reply)
    if reply.status == 410:
        raise reply.misconfigured(_NO_ROUTE)
    return False


def _raise_by_code(reply: Reply) -> None:
    codes = _codes(reply)
    for kind, reason in (_MEANINGS[code] for code in _MEANINGS if code in codes):
        raise kind(reply.service, reply.request, reply.status, reason)


def _codes(reply: Reply) -> set[str]:
    """The codes of an error, which is a list of them."""
    errors = reply.data if reply.status >= 400 and isinstance(reply.data, list) else []
    return {str(each.get("errorCode")) for each in errors if isinstance(each, dict)}


class Queries:
    """Asks one org, in one version of its API."""

    def __init__(self, api: Api, version: str) -> None:
        self._api, self._version = api, version

    async def rows(self, path: str, kind: str, fields: Sequence[str], condition: str) -> list[dict[str, Any]]:
        """Every row of a query; a page holds as many as the service likes. `QUERY_ALL` sees the recycle bin too.

        Raises `Refused` for more than `MOST_RECORDS`, and for an answer that does not give all that it counts.
        """
        query = " ".join(["SELECT", ", ".join(fields), "FROM", kind, "WHERE", condition])
        reply = await self._get(path, [("q", query)])
        rows = _page(reply, fields)
        while not reply.data["done"]:
            if len(rows) > MOST_RECORDS:
                raise reply.refused(TOO_MANY)
            reply = await self._get(MORE, cursor=_cursor(reply))
            rows += _page(reply, fields)
        if len(rows) > MOST_RECORDS:
            raise reply.refused(TOO_MANY)
        if len(rows) != reply.data.get("totalSize"):
            raise reply.refused("it counts other records than it gives")
        return rows

    async def _get(self, path: str, params: Sequence[tuple[str, str]] = (), **values: str) -> Reply:
        values["version"] = self._version
        return await self._api.get(path, values=values, params=params, patience=Patience.LOOKUP, judge=meant)


def _page(reply: Reply, fields: Sequence[str]) -> list[dict[str, Any]]:
    why = "the list of records is missing, or one lacks what was asked for"
    rows, done = reply.items(reply.at("records"), partial(_is_row, fields), why), reply.at("done")
    # A page that is neither the last nor holds anything would never end.
    if done is not True and not (done is False and rows):
        raise reply.refused("it does not say whether these are all records")
    return rows


def _cursor(reply: Reply) -> str:
    """What names the next page; an address that a remote sent is not followed."""
    found = re.fullmatch(r"/services/data/v\d+\.\d/query(?:All)?/([\w-]+)", str(reply.data.get("nextRecordsUrl")))
    if not found:
        raise reply.refused("the address of the next page cannot be read")
    return found[1]


def _is_row(fields: Sequence[str], row: object) -> bool:
    """Whether a row has the fields, with ids and flags that are such."""
    if not isinstance(row, dict) or not all(field in row for field in fields):
        return False
    return ("Id" not in fields or is_id(row["Id"])) and isinstance(row.get("IsDeleted", False), bool)
