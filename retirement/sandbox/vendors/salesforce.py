"""Salesforce: queries, records, Tasks, and a recycle bin of 15 days (contract services.md B5).

The record ids are made as the real ones are. A page of an answer holds one record, so that a client
that does not read on fails: the real service may give fewer than 2000, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Index, String, Table, false, func, literal, select

from retirement.sandbox.routing import Call, Manners, Route
from retirement.sandbox.vendors.salesforce_sign_in import CLIENT_ID, CLIENT_SECRET, TOKEN_ROUTE, gate, refused
from retirement.sandbox.vendors.soql import Kind, SoqlError, parsed
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import AbortError, Answer, ApiError, as_json, empty
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of

DATA = "/services/data/v{version}"
OLDEST, NEWEST = 31, 68
PAGE = 1
BIN = timedelta(days=15)
ASSIGNEE, ASSIGNEE_ID = "erasure.desk@org.example", "005000000000001AAA"


def _records(name: str) -> Table:
    table = table_of(
        "salesforce",
        name,
        Column("record", String, unique=True),
        "email",
        "last_name",
        Column("is_deleted", Boolean, nullable=False, default=False),
        "deleted_at",
    )
    Index(f"{name}_email", func.folded(table.c.email))
    return table


lead, contact = _records("salesforce_lead"), _records("salesforce_contact")
task = table_of(
    "salesforce",
    "salesforce_task",
    *("record", "subject", "description", "who", "owner", "status"),
    Column("is_closed", Boolean, nullable=False, default=False),
)
#: What is left of an answer that has been given in part: ids and fields, no data of a person.
cursor = table_of("salesforce", "salesforce_cursor", "kind", "fields", "records")
_user = select(
    literal(ASSIGNEE_ID).label("record"), literal(ASSIGNEE).label("username"), literal(True).label("active")
).subquery()


def _person(table: Table) -> Kind:
    fields = {"Id": "record", "Email": "email", "LastName": "last_name", "IsDeleted": "is_deleted"}
    return Kind(table, {name: table.c[column] for name, column in fields.items()})


_TASK = {"Subject": "subject", "Description": "description", "WhoId": "who", "OwnerId": "owner", "Status": "status"}
TABLES = {"Lead": lead, "Contact": contact, "Task": task}
KINDS = {
    "Lead": _person(lead),
    "Contact": _person(contact),
    "Task": Kind(
        task,
        {name: task.c[column] for name, column in {**_TASK, "Id": "record", "IsClosed": "is_closed"}.items()},
        frozenset({"Description"}),
    ),
    "User": Kind(_user, {"Id": _user.c.record, "Username": _user.c.username, "IsActive": _user.c.active}),
}


def _check_version(call: Call) -> None:
    number, _, rest = call.arguments["version"].partition(".")
    if not number.isdecimal() or rest != "0" or int(number) > NEWEST:
        raise AbortError(refused(404, "NOT_FOUND", "The requested resource does not exist"))
    if int(number) < OLDEST:
        raise AbortError(refused(410, "UNSUPPORTED_API_VERSION", "This version is no longer available"))


def query(call: Call) -> Answer:
    return _query(call, everything=False)


def query_all(call: Call) -> Answer:
    """The same, and what lies in the recycle bin."""
    return _query(call, everything=True)


def _query(call: Call, *, everything: bool) -> Answer:
    _check_version(call)
    try:
        asked = parsed(call.request.query.get("q", [""])[-1], KINDS)
    except SoqlError as error:
        return refused(400, error.code, error.text)
    kind = KINDS[asked.kind]
    statement = asked.statement.add_columns(kind.fields["Id"].label("_id"))
    if not everything and "IsDeleted" in kind.fields:
        statement = statement.where(kind.fields["IsDeleted"] == false())
    rows = [dict(row) for row in call.db.execute(statement).mappings()]
    rest = [row["_id"] for row in rows]
    made = call.db.execute(
        cursor.insert().values(kind=asked.kind, fields=json.dumps(asked.fields), records=json.dumps(rest))
    )
    return _page(call, f"{made.lastrowid:012d}", 0)


def more(call: Call) -> Answer:
    """The next page of an answer; also what began with `queryAll` goes on here."""
    _check_version(call)
    locator, _, at = call.arguments["cursor"].partition("-")
    if not at.isdecimal():
        return refused(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return _page(call, locator.removeprefix("01g").removesuffix("AAA"), int(at))


def _page(call: Call, number: str, at: int) -> Answer:
    found = call.db.execute(select(cursor).where(cursor.c.id == int(number))).first() if number.isdecimal() else None
    if found is None:
        return refused(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    kind, fields, ids = KINDS[found.kind], json.loads(found.fields), json.loads(found.records)
    columns = [kind.fields[name].label(name) for name in fields]
    wanted = select(*columns).select_from(kind.rows).where(kind.fields["Id"].in_(ids[at : at + PAGE]))
    base = DATA.format_map(call.arguments)
    records = [
        {"attributes": {"type": found.kind, "url": f"{base}/sobjects/{found.kind}"}, **row}
        for row in call.db.execute(wanted).mappings()
    ]
    end = at + PAGE
    answer: dict[str, Any] = {"totalSize": len(ids), "done": end >= len(ids), "records": records}
    if end < len(ids):
        answer["nextRecordsUrl"] = f"{base}/query/01g{number}AAA-{end}"
    return as_json(answer, headers=(("sforce-limit-info", "api-usage=18/5000"),))


def delete(call: Call) -> Answer:
    """Into the recycle bin."""
    _check_version(call)
    table = TABLES.get(call.arguments["kind"])
    if table is None or table is task:
        return refused(404, "NOT_FOUND", "The requested resource does not exist")
    row = call.db.execute(select(table).where(table.c.record == call.arguments["record"])).first()
    if row is None:
        return refused(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible")
    if row.is_deleted:
        return refused(404, "ENTITY_IS_DELETED", "entity is deleted")
    values = {"is_deleted": True, "deleted_at": call.world.now().isoformat()}
    call.db.execute(table.update().where(table.c.id == row.id).values(**values))
    return empty(204)


def _fields(call: Call) -> dict[str, Any]:
    """The columns for a Task's fields; refuses those that it does not have, and ids of no record."""
    try:
        given = call.request.data()
    except ApiError:
        given = None
    if not isinstance(given, dict):
        raise AbortError(refused(400, "JSON_PARSER_ERROR", "The body is no object"))
    for name in given:
        if name not in _TASK:
            raise AbortError(refused(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type Task"))
    if len(str(given.get("Subject", ""))) > 255:
        raise AbortError(refused(400, "STRING_TOO_LONG", "Subject: data value too large"))
    owner, who = given.get("OwnerId", ASSIGNEE_ID), given.get("WhoId")
    if owner != ASSIGNEE_ID or (who is not None and _whose(call.db, who) is None):
        raise AbortError(refused(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"))
    return {_TASK[name]: value for name, value in given.items()}


def _whose(db: Connection, record: Any) -> int | None:
    """The learner of a Lead or Contact that is not in the bin: a mark for the sandbox' reports."""
    for table in (lead, contact):
        found = select(table.c.learner).where(table.c.record == record, table.c.is_deleted == false())
        if (learner := db.execute(found).scalar()) is not None:
            return int(learner)
    return None


def make_task(call: Call) -> Answer:
    _check_version(call)
    values = {"status": "Not Started", "owner": ASSIGNEE_ID, **_fields(call)}
    made = call.db.execute(task.insert().values(learner=_whose(call.db, values.get("who")), **values))
    number = made.lastrowid
    record = f"00T{number:012d}AAA"
    call.db.execute(task.update().where(task.c.id == number).values(record=record))
    return as_json({"id": record, "success": True, "errors": []}, 201)


def change_task(call: Call) -> Answer:
    """What a person does in the end: `{"Status": "Completed"}` closes it."""
    _check_version(call)
    values = _fields(call)
    if "status" in values:
        values["is_closed"] = values["status"] == "Completed"
    changed = call.db.execute(task.update().where(task.c.record == call.arguments["record"]).values(**values))
    return empty(204) if changed.rowcount else refused(404, "NOT_FOUND", "The requested resource does not exist")


def _settle(db: Connection, now: datetime) -> None:
    for table in (lead, contact):
        db.execute(table.delete().where(table.c.deleted_at <= (now - BIN).isoformat()))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    known = {"email": person.email, "last_name": person.name, "is_deleted": False, "deleted_at": None}
    for number in range(2):
        yield lead, {"record": f"00Q{person.user_id:011d}{number}AAA", **known}
    yield contact, {"record": f"003{person.user_id:012d}AAA", **known}


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "mode": "delete", "delete_at_most": 2}


VENDOR = Vendor(
    name="salesforce",
    service="SALESFORCE",
    routes=[
        TOKEN_ROUTE,
        Route(f"{DATA}/query", gate, {"GET": query}),
        Route(f"{DATA}/query/{{cursor}}", gate, {"GET": more}),
        Route(f"{DATA}/queryAll", gate, {"GET": query_all}),
        Route(f"{DATA}/queryAll/{{cursor}}", gate, {"GET": more}),
        Route(f"{DATA}/sobjects/Task", gate, {"POST": make_task}),
        Route(f"{DATA}/sobjects/Task/{{record}}", gate, {"PATCH": change_task}),
        Route(f"{DATA}/sobjects/{{kind}}/{{record}}", gate, {"DELETE": delete}),
    ],
    holds=_holds,
    settings=_settings,
    steps=[step("SALESFORCE", "SALESFORCE", "retire_learner")],
    settle=_settle,
    manners=Manners(
        not_found=refused(404, "NOT_FOUND", "The requested resource does not exist"),
        failed=refused(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred"),
        wrong_method=refused(405, "METHOD_NOT_ALLOWED", "HTTP Method not allowed"),
        redirects=False,
    ),
)
