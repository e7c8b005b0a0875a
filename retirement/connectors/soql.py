"""SOQL, the query language of Salesforce: literals that nothing can end early, and answers read to the last page.

Contract of the services, section B5.3: within single quotes a backslash, a quote and control characters are
escaped, any other sequence is an error. Encoding the whole for the URL comes after that, and is `http`'s.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from retirement.errors import Misconfigured, Refused, ServiceError, Transient
from retirement.http import Api, Judge, Patience, Reply

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
    "UNABLE_TO_LOCK_ROW": (Transient, "somebody else works on the record"),
    "INVALID_FIELD": (Misconfigured, "the signed-in user cannot see a field that this needs"),
    "INVALID_TYPE": (Misconfigured, "the signed-in user cannot see Leads, Contacts, Tasks or Users"),
    "REQUIRED_FIELD_MISSING": (Misconfigured, "Tasks of this org have a required field that nothing fills"),
    "DELETE_FAILED": (Refused, "something hangs on the record: a portal user, cases or contracts"),
}


def literal(text: str) -> str:
    """A text as a literal; an empty one stands for every record that has no value, so ask before."""
    return f"'{text.translate(_ESCAPES)}'"


def one_of(texts: Iterable[str]) -> str:
    """What stands after IN."""
    return f"({', '.join(map(literal, texts))})"


def is_id(value: object) -> bool:
    """Whether this is the id of a record, which may stand in a path and in a receipt."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", value) is not None


def meant(service: str, request: str) -> Judge:
    """Reads an answer by the contract, where the general table has it otherwise."""
    deletes = request.startswith("DELETE")

    def judge(reply: Reply) -> bool | None:
        codes = _codes(reply)
        if deletes and reply.status == 404 and codes & _GONE:
            return True
        if deletes and 200 <= reply.status < 300 and reply.kind == "json":
            raise Refused(service, request, reply.status, "an empty answer is due")
        for kind, reason in (_MEANINGS[code] for code in _MEANINGS if code in codes):
            raise kind(service, request, reply.status, reason)
        if reply.status == 410 or (reply.status == 404 and not deletes):
            why = "api_version or the permissions of the signed-in user do not fit"
            raise Misconfigured(service, request, reply.status, why)
        return None

    return judge


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
        rows = self._page(reply, path, fields)
        while not reply.data["done"]:
            if len(rows) > MOST_RECORDS:
                self._refuse(path, reply, TOO_MANY)
            reply = await self._get(MORE, cursor=self._cursor(reply))
            rows += self._page(reply, MORE, fields)
        if len(rows) > MOST_RECORDS:
            self._refuse(path, reply, TOO_MANY)
        if len(rows) != reply.data.get("totalSize"):
            self._refuse(path, reply, "it counts other records than it gives")
        return rows

    async def _get(self, path: str, params: Sequence[tuple[str, str]] = (), **values: str) -> Reply:
        values["version"] = self._version
        judge = meant(self._api.service, f"GET {path}")
        return await self._api.get(path, values=values, params=params, patience=Patience.LOOKUP, judge=judge)

    def _page(self, reply: Reply, path: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        data = reply.data if isinstance(reply.data, dict) else {}
        rows, done = data.get("records"), data.get("done")
        if not isinstance(rows, list) or not all(_is_row(row, fields) for row in rows):
            self._refuse(path, reply, "the list of records is missing, or one lacks what was asked for")
        # A page that is neither the last nor holds anything would never end.
        if done is not True and not (done is False and rows):
            self._refuse(path, reply, "it does not say whether these are all records")
        return rows

    def _cursor(self, reply: Reply) -> str:
        """What names the next page; an address that a remote sent is not followed."""
        found = re.fullmatch(r"/services/data/v\d+\.\d/query(?:All)?/([\w-]+)", str(reply.data.get("nextRecordsUrl")))
        if not found:
            self._refuse(MORE, reply, "the address of the next page cannot be read")
        return found[1]

    def _refuse(self, path: str, reply: Reply, reason: str) -> NoReturn:
        raise Refused(self._api.service, f"GET {path}", reply.status, reason)


def _is_row(row: object, fields: Sequence[str]) -> bool:
    """Whether a row has the fields, with ids and flags that are such."""
    if not isinstance(row, dict) or not all(field in row for field in fields):
        return False
    return ("Id" not in fields or is_id(row["Id"])) and isinstance(row.get("IsDeleted", False), bool)
