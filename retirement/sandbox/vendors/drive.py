"""Google Drive v3, where partner reports are delivered: a shared drive with a folder for each organisation.

Contract services.md B9. Everything lies on a shared drive, so a request without `supportsAllDrives=true` sees nothing.
Names need not be unique. The first page of a list of files is empty, and each of the others has one file, so that a
client that does not read on fails: the real service may answer so, too. No learner has data here before a report.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, Column, LargeBinary, RowMapping, String, Table, select

from retirement.sandbox.routing import Call, Manners, Route
from retirement.sandbox.vendors.drive_sign_in import ACCOUNT, TOKEN_ROUTE, gate, refused
from retirement.sandbox.wire import AbortError, Answer, ApiError, as_json, empty
from retirement.sandbox.world.database import timestamp
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of

NAME = "drive"
FOLDER = "application/vnd.google-apps.folder"
#: The shared drive, and the folder in it below which each organisation has a folder of its own name.
SHARED, PARTNERS = "0ASandboxSharedDrive", "1SandboxPartners"
#: The ids of what is made later.
_ID = "1Sandbox{:025d}"
_PAGE = 1

file = table_of(
    NAME,
    "drive_file",
    Column("record", String, unique=True),
    *("parent", "name", "mime_type", "created_time"),
    Column("trashed", Boolean, nullable=False, default=False),
    Column("content", LargeBinary),
    *("size", "md5", "sha256"),
)
permission = table_of(NAME, "drive_permission", "file", "type", "role", "email")
comment = table_of(NAME, "drive_comment", "file", "content", "created_time")

_CONDITION = re.compile(
    r"'(?P<parent>(?:[^'\\]|\\.)*)' in parents"
    r"|(?P<field>name|mimeType) ?= ?'(?P<value>(?:[^'\\]|\\.)*)'"
    r"|trashed ?= ?(?P<trashed>true|false)"
)


def holds(people: Sequence[Person]) -> Iterator[tuple[Table, dict[str, Any]]]:
    """The shared drive as an operator has prepared it: a folder for each organisation of the seed, and its people."""
    common = {"mime_type": FOLDER, "created_time": timestamp(days_ago=400)}
    yield file, {**common, "record": SHARED, "parent": None, "name": "Shared drive"}
    yield permission, {"file": SHARED, "type": "user", "role": "organizer", "email": ACCOUNT}
    yield file, {**common, "record": PARTNERS, "parent": SHARED, "name": "Partners"}
    orgs = dict.fromkeys(each["org"] for person in people for each in person.seed.get("enrollments", ()))
    for number, org in enumerate(orgs, 1):
        yield file, {**common, "record": f"1SandboxPartner{number}", "parent": PARTNERS, "name": org}
        people_of = f"reports@partner{number}.example"
        yield permission, {"file": f"1SandboxPartner{number}", "type": "user", "role": "reader", "email": people_of}


def settings(url: str, key_file: str) -> dict[str, Any]:
    """The sink in the section `partners` of a configuration."""
    return {"name": NAME, "kind": NAME, "folder": PARTNERS, "key_file": key_file, "url": url}


def _not_found(record: str) -> Answer:
    return refused(404, "notFound", f"File not found: {record}.")


def _asked(call: Call, name: str, otherwise: str = "") -> str:
    return call.request.query.get(name, [otherwise])[-1]


def _sees_all(call: Call) -> bool:
    return _asked(call, "supportsAllDrives") == "true"


def _named(call: Call, record: str) -> RowMapping:
    """A file by its id. Raises 404."""
    found = call.db.execute(select(file).where(file.c.record == record)).mappings().first()
    if found is None:
        raise AbortError(_not_found(record))
    return found


def _the_file(call: Call) -> RowMapping:
    """The file of the path, on a shared drive. Raises 404."""
    if not _sees_all(call):
        raise AbortError(_not_found(call.arguments["file"]))
    return _named(call, call.arguments["file"])


def _body(call: Call) -> dict[str, Any]:
    """The object that was sent. Raises 400."""
    try:
        given = call.request.data()
    except ApiError:
        given = None
    if not isinstance(given, dict):
        raise AbortError(refused(400, "parseError", "Parse Error"))
    return given


def _resource(row: RowMapping) -> dict[str, Any]:
    """A file as the API names its fields; a folder has no content."""
    shown = {
        "kind": "drive#file",
        "id": row["record"],
        "name": row["name"],
        "mimeType": row["mime_type"],
        "parents": [row["parent"]],
        "trashed": row["trashed"],
        "createdTime": row["created_time"],
        "driveId": SHARED,
    }
    sums = {"size": row["size"], "md5Checksum": row["md5"], "sha256Checksum": row["sha256"]}
    return shown if row["content"] is None else shown | sums


def _fields(call: Call, otherwise: str) -> set[str]:
    """The names that `fields` asks for, of a list those within its brackets."""
    asked = _asked(call, "fields", otherwise)
    within = re.search(r"\(([^)]*)\)", asked)
    return {name.strip() for name in (within[1] if within else asked).split(",")}


def _only(resource: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name in wanted or "*" in wanted}


def _from(call: Call) -> int:
    """Where a page begins. Raises 400 for a token that no answer has given."""
    token = _asked(call, "pageToken", "0")
    if not token.isdecimal():
        raise AbortError(refused(400, "invalid", "Invalid Value"))
    return int(token)


def _size(call: Call, usual: int, most: int) -> int:
    """How many are asked for at a time. Raises 400."""
    asked = _asked(call, "pageSize", str(usual))
    if not asked.isdecimal() or not 1 <= int(asked) <= most:
        raise AbortError(
            refused(400, "invalid", f"Invalid value '{asked}'. Values must be within the range: [1, {most}]")
        )
    return int(asked)


def _page(key: str, found: Sequence[Mapping[str, Any]], begin: int, end: int) -> Answer:
    more = {"nextPageToken": str(end)} if end < len(found) else {}
    return as_json({**more, key: list(found[begin:end])})


def list_files(call: Call) -> Answer:
    """Nothing of a shared drive without both parameters; what is in the trash unless the query excludes it."""
    found = _matching(call, _asked(call, "q"))
    if not _sees_all(call) or _asked(call, "includeItemsFromAllDrives") != "true":
        found = []
    _size(call, 100, 1000)
    wanted, begin = _fields(call, "files(kind,id,name,mimeType)"), _from(call)
    shown = [_only(_resource(row), wanted) for row in found]
    if not begin:
        # A page may be empty although there are more. The offset in the token is one ahead of the list.
        return as_json({**({"nextPageToken": "1"} if shown else {}), "files": []})
    more = {"nextPageToken": str(begin + _PAGE)} if begin - 1 + _PAGE < len(shown) else {}
    return as_json({**more, "files": shown[begin - 1 : begin - 1 + _PAGE]})


def _matching(call: Call, query: str) -> list[RowMapping]:
    """Files below the drive that fit; the part of the query language that is equalities joined by `and`."""
    statement, at = select(file).where(file.c.parent.is_not(None)).order_by(file.c.id), 0
    while at < len(query):
        condition = _CONDITION.match(query, at)
        if condition is None:
            raise AbortError(refused(400, "invalid", "Invalid Value"))
        statement = statement.where(_clause(condition))
        at = condition.end()
        if query.startswith(" and ", at) and len(query) > at + 5:
            at += 5
        elif at < len(query):
            raise AbortError(refused(400, "invalid", "Invalid Value"))
    return list(call.db.execute(statement).mappings())


def _clause(condition: re.Match[str]) -> Any:
    if condition["parent"] is not None:
        return file.c.parent == _plain(condition["parent"])
    if condition["trashed"]:
        return file.c.trashed.is_(condition["trashed"] == "true")
    column = {"name": file.c.name, "mimeType": file.c.mime_type}[condition["field"]]
    return column == _plain(condition["value"])


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)


def show(call: Call) -> Answer:
    """Also what is in the trash."""
    return as_json(_only(_resource(_the_file(call)), _fields(call, "kind,id,name,mimeType")))


def create(call: Call) -> Answer:
    """A file without content, such as a folder."""
    return _made(call, _body(call), None)


def upload(call: Call) -> Answer:
    """Metadata and content in one request; each request is a file of its own, of whatever name."""
    parts = _related(call.request.media_type, call.request.body)
    if _asked(call, "uploadType") != "multipart" or len(parts) != 2:
        return refused(400, "badContent", "Malformed multipart body.")
    (_, about), (kind, content) = parts
    try:
        metadata = json.loads(about)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        return refused(400, "parseError", "Parse Error")
    return _made(call, {"mimeType": kind, **metadata}, content)


def _related(media_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Content type and content of each part; the line break before a boundary belongs to the boundary."""
    boundary = re.search(r'boundary="?([^";]+)', media_type)
    if not media_type.startswith("multipart/related") or boundary is None:
        return []
    parts = []
    for part in (b"\r\n" + body).split(f"\r\n--{boundary[1]}".encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        kind = re.search(rb"(?i)content-type: *([^;\r\n]+)", head)
        parts.append((kind[1].decode("latin-1") if kind else "application/octet-stream", content))
    return parts


def _made(call: Call, given: Mapping[str, Any], content: bytes | None) -> Answer:
    parents = given.get("parents")
    if not isinstance(parents, list) or not parents:
        # Where no parent is given, the file would lie in the account's own drive, and a service account has no room.
        return refused(403, "storageQuotaExceeded", "Service Accounts do not have storage quota.")
    if len(parents) > 1:
        return refused(400, "invalid", "A shared drive item must have exactly one parent")
    if not _sees_all(call):
        return _not_found(str(parents[0]))
    parent = _named(call, str(parents[0]))
    values: dict[str, Any] = {
        "parent": parent["record"],
        "name": str(given.get("name", "Untitled")),
        "mime_type": str(given.get("mimeType", "application/octet-stream")),
        "created_time": call.world.now().isoformat(),
        "content": content,
    }
    if content is not None:
        values |= {
            "size": str(len(content)),
            "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    number = call.db.execute(file.insert().values(**values)).lastrowid
    record = _ID.format(number)
    call.db.execute(file.update().where(file.c.id == number).values(record=record))
    return as_json(_only(_resource(_named(call, record)), _fields(call, "kind,id,name,mimeType")))


def change(call: Call) -> Answer:
    """Another name, or into the trash and out of it."""
    row, given = _the_file(call), _body(call)
    values = {name: given.get(name, row[name]) for name in ("name", "trashed")}
    call.db.execute(file.update().where(file.c.id == row["id"]).values(**values))
    return as_json(_only(_resource(_named(call, row["record"])), _fields(call, "kind,id,name,mimeType")))


def delete(call: Call) -> Answer:
    """For good, past the trash, with all that is below a folder."""
    gone = [_the_file(call)["record"]]
    for record in gone:
        gone += call.db.scalars(select(file.c.record).where(file.c.parent == record))
    for column in (comment.c.file, permission.c.file, file.c.record):
        call.db.execute(column.table.delete().where(column.in_(gone)))
    return empty(204)


def permissions(call: Call) -> Answer:
    """Those of the file, and those that it has from the folders above it and from the drive."""
    row: RowMapping | None = _the_file(call)
    above: list[str] = []
    while row is not None:
        above.append(row["record"])
        row = _named(call, row["parent"]) if row["parent"] else None
    rows = call.db.execute(select(permission).where(permission.c.file.in_(above)).order_by(permission.c.id))
    wanted = _fields(call, "permissions(kind,id,type,role)")
    # One for anyone, or for a domain, has no address.
    shown = [
        {"kind": "drive#permission", "id": str(each.id), "type": each.type, "role": each.role}
        | ({"emailAddress": each.email} if each.type in ("user", "group") else {})
        for each in rows
    ]
    begin = _from(call)
    return _page("permissions", [_only(each, wanted) for each in shown], begin, begin + _size(call, 100, 100))


def permit(call: Call) -> Answer:
    """Shares a file or folder, as a person does in the browser."""
    row, given = _the_file(call), _body(call)
    if given.get("type") not in ("user", "group", "domain", "anyone") or not given.get("role"):
        return refused(400, "required", "The permission type and role fields are required.")
    values = {"file": row["record"], "type": given["type"], "role": given["role"], "email": given.get("emailAddress")}
    made = call.db.execute(permission.insert().values(**values))
    return as_json(
        {"kind": "drive#permission", "id": str(made.lastrowid), "type": given["type"], "role": given["role"]}
    )


def _commented(call: Call) -> str:
    """The id of the file that is commented on. Raises 404, and 400 without `fields`, which comments require."""
    if not _asked(call, "fields"):
        text = "The 'fields' parameter is required for this method."
        raise AbortError(refused(400, "required", text))
    return str(_named(call, call.arguments["file"])["record"])


def comments(call: Call) -> Answer:
    """In the order in which they were made."""
    record = _commented(call)
    rows = call.db.execute(select(comment).where(comment.c.file == record).order_by(comment.c.id))
    wanted, begin = _fields(call, ""), _from(call)
    shown = [{"id": str(each.id), "content": each.content, "createdTime": each.created_time} for each in rows]
    return _page("comments", [_only(each, wanted) for each in shown], begin, begin + _size(call, 20, 100))


def say(call: Call) -> Answer:
    """A second comment of one content is another one."""
    record, given = _commented(call), _body(call)
    if not given.get("content"):
        return refused(400, "required", "Comment content is required.")
    values = {"file": record, "content": str(given["content"]), "created_time": call.world.now().isoformat()}
    made = call.db.execute(comment.insert().values(**values))
    return as_json(_only({"id": str(made.lastrowid), "content": values["content"]}, _fields(call, "")))


_FILES, _FILE = "/drive/v3/files", "/drive/v3/files/{file}"
ROUTES = (
    TOKEN_ROUTE,
    Route(_FILES, gate, {"GET": list_files, "POST": create}),
    Route(f"/upload{_FILES}", gate, {"POST": upload}),
    Route(_FILE, gate, {"GET": show, "PATCH": change, "DELETE": delete}),
    Route(f"{_FILE}/permissions", gate, {"GET": permissions, "POST": permit}),
    Route(f"{_FILE}/comments", gate, {"GET": comments, "POST": say}),
)
MANNERS = Manners(
    not_found=refused(404, "notFound", "Not Found"),
    failed=refused(500, "backendError", "Internal Error"),
    wrong_method=refused(405, "httpMethodNotAllowed", "Method Not Allowed"),
    redirects=False,
)
