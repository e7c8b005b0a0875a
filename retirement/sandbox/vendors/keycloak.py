"""Keycloak: the users of a realm, and what goes with them (contract services.md, sections D3 and D4).

Each route answers with and without `/auth`. Learners with an address at `@ldap.example` come from a directory that
brings them back a day after their deletion, and those at `@readonly-ldap.example` from one that refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from sqlalchemy import Column, Connection, Row, RowMapping, String, Table, select

from retirement.sandbox.routing import Call, Manners, Route, View
from retirement.sandbox.vendors.realm import CLIENTS, NAMES, PUBLIC, REALM, claims_of, refused, session, sign_in, user
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import JSON, NO_CONTENT, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

LDAP, READ_ONLY_LDAP = "ldap.example", "readonly-ldap.example"
IMPORT_AFTER = timedelta(days=1)

consent = table_of("keycloak", "keycloak_consent", "uid", "client")
link = table_of("keycloak", "keycloak_link", "uid", "provider", "user_name")
failures = table_of("keycloak", "keycloak_failures", "uid", "last_ip")
event = table_of("keycloak", "keycloak_event", "uid", "username", "ip_address")
directory = table_of("keycloak", "keycloak_directory", *NAMES, Column("import_at", String))


def _open(request: Request, world: World) -> Principal:
    return NO_ACCOUNT


def _signed_in(request: Request, world: World) -> Principal:
    if claims_of(request, world) is None:
        raise refused(401, "HTTP 401 Unauthorized")
    return NO_ACCOUNT


def _with_role(role: str, view: View) -> View:
    """A view of the administration of the realm."""

    def checked(call: Call) -> Any:
        if call.arguments["realm"] != REALM:
            raise refused(404, "Realm not found.")
        if role not in (claims_of(call.request, call.world) or {})["roles"]:
            raise refused(403, "HTTP 403 Forbidden")
        return view(call)

    return checked


def _shown(row: Row[Any]) -> dict[str, Any]:
    names = {"username": row.username, "email": row.email, "firstName": row.first_name, "lastName": row.last_name}
    return {"id": row.uid, "enabled": row.enabled, "emailVerified": True, **names}


def search(call: Call) -> Answer:
    """By username and e-mail: parts of them, unless `exact` is true. An empty text is no condition."""
    query, wanted_users = call.request.query, select(user).order_by(user.c.id)
    exact = query.get("exact", [""])[-1] == "true"
    for column in (user.c.username, user.c.email):
        if text := query.get(column.name, [""])[-1].lower():
            wanted_users = wanted_users.where(column == text if exact else column.contains(text, autoescape=True))
    first, most = int(query.get("first", ["0"])[-1]), int(query.get("max", ["100"])[-1])
    return as_json([_shown(row) for row in call.db.execute(wanted_users.offset(first).limit(most))])


def count(call: Call) -> Answer:
    return as_json(len(list(call.db.execute(select(user.c.id)))))


def _named(call: Call) -> Row[Any]:
    row = call.db.execute(user.select().where(user.c.uid == call.arguments["id"])).first()
    if row is None:
        raise refused(404, "User not found")
    return row


def read(call: Call) -> Answer:
    return as_json(_shown(_named(call)))


def change(call: Call) -> Answer:
    row, given = _named(call), call.request.data()
    if row.origin == READ_ONLY_LDAP:
        return as_json({"errorMessage": "User is read only!"}, 400)
    columns = {"enabled": "enabled", "email": "email", "firstName": "first_name", "lastName": "last_name"}
    if values := {columns[key]: value for key, value in given.items() if key in columns}:
        call.db.execute(user.update().where(user.c.uid == row.uid).values(values))
    return NO_CONTENT


def delete(call: Call) -> Answer:
    """Everything of the user but events and failure counters."""
    row = _named(call)
    if row.origin == READ_ONLY_LDAP:
        return as_json({"errorMessage": "User couldn't be deleted"}, 400)
    for table in (user, session, consent, link):
        call.db.execute(table.delete().where(table.c.uid == row.uid))
    due = (call.world.now() + IMPORT_AFTER).isoformat()
    call.db.execute(directory.update().where(directory.c.username == row.username).values(import_at=due))
    return NO_CONTENT


def log_out(call: Call) -> Answer:
    call.db.execute(session.delete().where(session.c.uid == _named(call).uid))
    return NO_CONTENT


def _listing(table: Table, shown: Callable[[Row[Any]], dict[str, Any]]) -> View:
    def listed(call: Call) -> Answer:
        rows = call.db.execute(table.select().where(table.c.uid == _named(call).uid))
        return as_json([shown(row) for row in rows])

    return listed


def _removal(column: Column[Any], argument: str, missing: str) -> View:
    def removed(call: Call) -> Answer:
        mine = (column.table.c.uid == _named(call).uid) & (column == call.arguments[argument])
        if not call.db.execute(column.table.delete().where(mine)).rowcount:
            raise refused(404, missing)
        return NO_CONTENT

    return removed


def clear_failures(call: Call) -> Answer:
    call.db.execute(failures.delete().where(failures.c.uid == call.arguments["id"]))
    return NO_CONTENT


def _settle(db: Connection, now: datetime) -> None:
    """The directory's import: a user that was deleted here is there again, under another id."""
    due = directory.c.import_at <= now.isoformat()
    for row in list(db.execute(directory.select().where(due))):
        names = {name: getattr(row, name) for name in NAMES}
        db.execute(user.insert().values(uid=str(uuid4()), learner=row.learner, enabled=True, origin=LDAP, **names))
    db.execute(directory.update().where(due).values(import_at=None))


def uid_of(person: Person) -> str:
    """The id of a learner's user; that of Che is the same."""
    return str(uuid5(NAMESPACE_URL, f"keycloak-user-{person.user_id}"))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    uid, (first, _, last) = uid_of(person), person.name.partition(" ")
    email = person.email.lower()
    names = {"username": person.username.lower(), "email": email, "first_name": first, "last_name": last}
    domain = email.rpartition("@")[2]
    origin = domain if domain in (LDAP, READ_ONLY_LDAP) else ""
    yield user, {"uid": uid, "enabled": True, "origin": origin, **names}
    if origin == LDAP:
        yield directory, {"import_at": None, **names}
    yield session, {"uid": uid, "session": str(uuid4()), "ip_address": "192.0.2.7"}
    yield consent, {"uid": uid, "client": PUBLIC[REALM]}
    yield link, {"uid": uid, "provider": "github", "user_name": person.username}
    yield failures, {"uid": uid, "last_ip": "192.0.2.7"}
    yield event, {"uid": uid, "username": person.username, "ip_address": "192.0.2.7"}


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    name = "retirement-pipeline"
    return {"url": f"{url}/auth", "realm": REALM, "client_id": name, "client_secret": CLIENTS[name][0]}


def _always(_row: RowMapping) -> bool:
    return True


def _routes() -> Iterable[Route]:
    may_read, may_manage = "view-users", "manage-users"
    consents = _listing(consent, lambda row: {"clientId": row.client, "grantedClientScopes": ["email"]})
    links = _listing(link, lambda row: {"identityProvider": row.provider, "userName": row.user_name})
    sessions = _listing(session, lambda row: {"id": row.session, "ipAddress": row.ip_address})
    one_consent = _removal(consent.c.client, "client", "Consent nor offline token not found")
    one_link = _removal(link.c.provider, "provider", "Link not found")
    administration: dict[str, dict[str, tuple[str, View]]] = {
        "/users": {"GET": (may_read, search)},
        "/users/count": {"GET": (may_read, count)},
        "/users/{id}": {"GET": (may_read, read), "PUT": (may_manage, change), "DELETE": (may_manage, delete)},
        "/users/{id}/logout": {"POST": (may_manage, log_out)},
        "/users/{id}/sessions": {"GET": (may_read, sessions)},
        "/users/{id}/consents": {"GET": (may_read, consents)},
        "/users/{id}/consents/{client}": {"DELETE": (may_manage, one_consent)},
        "/users/{id}/federated-identity": {"GET": (may_read, links)},
        "/users/{id}/federated-identity/{provider}": {"DELETE": (may_manage, one_link)},
        "/attack-detection/brute-force/users/{id}": {"DELETE": (may_manage, clear_failures)},
    }
    for prefix in ("", "/auth"):
        yield Route(f"{prefix}/realms/{{realm}}/protocol/openid-connect/token", _open, {"POST": sign_in})
        for path, views in administration.items():
            checked = {method: _with_role(role, view) for method, (role, view) in views.items()}
            yield Route(f"{prefix}/admin/realms/{{realm}}{path}", _signed_in, checked)


VENDOR = Vendor(
    name="keycloak",
    service="KEYCLOAK",
    routes=list(_routes()),
    holds=_holds,
    settings=_settings,
    # Its deletion comes after that of what trusts the realm: it is the last step of Che.
    steps=[step("KEYCLOAK_ACCESS", "KEYCLOAK", "disable_and_log_out")],
    manners=Manners(
        not_found=as_json({"error": "HTTP 404 Not Found"}, 404),
        failed=as_json({"error": "unknown_error"}, 500),
        wrong_method=Answer(405, b'{"error":"HTTP 405 Method Not Allowed"}', JSON),
        redirects=False,
    ),
    settle=_settle,
    # Events stay until the realm forgets them, and a directory is not the realm's to erase (D3).
    survivors={
        event.c.username: _always,
        **{directory.c[name]: _always for name in NAMES},
    },
)
