"""Eclipse Che: users made of tokens, workspaces that take time to stop, the cascade (contract services.md, section C).

It trusts every token of the sandbox' Keycloak realm that has not expired, and sends no request to Keycloak: a token
issued before its account was disabled or deleted creates the user again. `CHE_SYSTEM_ADMIN__NAME` names the service
account of the pipeline, and `CHE_SYSTEM_SUPER__PRIVILEGED__MODE` is on; the client `reader` may manage users, and no
workspaces. A learner who is called `che-admin` may do what the pipeline may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Row, Table

from retirement.sandbox.routing import Call, Manners, Route, View
from retirement.sandbox.vendors import keycloak
from retirement.sandbox.vendors.realm import CLIENTS, REALM, claims_of
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import JSON, NO_CONTENT, AbortError, Answer, Request, as_json
from retirement.sandbox.world import World
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

#: What a workspace needs to stop.
STOPS_AFTER = timedelta(seconds=15)
SYSTEM = ("manageSystem", "monitorSystem", "manageUsers", "setPermissions")
#: System permissions by account.
PERMISSIONS: dict[str, tuple[str, ...]] = {
    "service-account-retirement-pipeline": SYSTEM,
    "service-account-reader": ("manageUsers",),
    "che-admin": SYSTEM,
}
STOPPED = "STOPPED"

user = table_of("che", "che_user", "uid", "name", "email")
preference = table_of("che", "che_preference", "uid", "value")
ssh_pair = table_of("che", "che_ssh_pair", "uid", "name", "public_key")
workspace = table_of(
    "che", "che_workspace", "wid", "uid", "namespace", "status", "stops_at", Column("removed_then", Boolean)
)
worker = table_of("che", "che_worker", "uid", "wid")


def _refused(status: int, message: str) -> AbortError:
    return AbortError(as_json({"message": message}, status))


def _gate(request: Request, world: World) -> Principal:
    """Makes or updates the user of the token before anything else, in a transaction of its own (C1)."""
    claims = claims_of(request, world)
    if claims is None or claims["iss"] != REALM:
        raise _refused(401, "The token is missing, expired or not valid")
    if not claims.get("email"):
        raise _refused(401, "Unable to authenticate user because email address is not set in keycloak profile")
    with world.database.transaction() as db:
        uid, names = claims["sub"], {"name": claims["preferred_username"], "email": claims["email"]}
        for other in list(db.execute(user.select().where((user.c.email == names["email"]) & (user.c.uid != uid)))):
            _cascade(db, other.uid)
        if not db.execute(user.update().where(user.c.uid == uid).values(names)).rowcount:
            db.execute(user.insert().values(uid=uid, learner=claims.get("sandbox_learner"), **names))
    return NO_ACCOUNT


def _who(call: Call) -> tuple[str, tuple[str, ...]]:
    """User id and system permissions of the caller."""
    claims = claims_of(call.request, call.world) or {}
    return claims["sub"], PERMISSIONS.get(claims["preferred_username"], ())


def _shown(row: Row[Any]) -> dict[str, Any]:
    return {"id": row.uid, "aliases": [], "email": row.email, "name": row.name, "password": "", "links": []}


def _one(call: Call, condition: Any) -> Answer:
    row = call.db.execute(user.select().where(condition)).first()
    if row is None:
        raise _refused(404, "User was not found")
    return as_json(_shown(row))


def me(call: Call) -> Answer:
    return _one(call, user.c.uid == _who(call)[0])


def read(call: Call) -> Answer:
    return _one(call, user.c.uid == call.arguments["id"])


def find(call: Call) -> Answer:
    """By name or by e-mail, each as it is written."""
    given = {key: call.request.query[key][-1] for key in ("email", "name") if key in call.request.query}
    if len(given) != 1:
        raise _refused(400, "Expected either user's email or name")
    ((key, text),) = given.items()
    return _one(call, user.c[key] == text)


def delete(call: Call) -> Answer:
    """204 for an unknown user; 500 while a workspace runs, whose stop it has begun all the same."""
    uid = call.arguments["id"]
    own, actions = _who(call)
    if uid != own and "manageUsers" not in actions:
        raise _refused(403, "The user does not have permission to remove users")
    mine = workspace.c.uid == uid
    if any(row.status != STOPPED for row in call.db.execute(workspace.select().where(mine))):
        _stop(call, mine & workspace.c.status.in_(("STARTING", "RUNNING")))
        call.db.execute(workspace.update().where(mine).values(removed_then=True))
        return as_json({"message": "User has workspace that is not stopped yet. Try again"}, 500)
    _cascade(call.db, uid)
    return NO_CONTENT


def _cascade(db: Connection, uid: str) -> None:
    for table in (workspace, preference, ssh_pair, worker, user):
        db.execute(table.delete().where(table.c.uid == uid))


def _stop(call: Call, which: Any) -> int:
    then = (call.world.now() + STOPS_AFTER).isoformat()
    return call.db.execute(workspace.update().where(which).values(status="STOPPING", stops_at=then)).rowcount


def _as_json(row: Row[Any]) -> dict[str, Any]:
    return {"id": row.wid, "namespace": row.namespace, "status": row.status, "attributes": {}, "devfile": {}}


def by_owner(call: Call) -> Answer:
    name = call.arguments["name"]
    row = call.db.execute(user.select().where(user.c.name == name)).first()
    own, actions = _who(call)
    if "manageSystem" not in actions and (row is None or row.uid != own):
        raise _refused(403, "User is not authorized to use given namespace")
    rows = call.db.execute(workspace.select().where(workspace.c.namespace == name).order_by(workspace.c.id))
    return as_json([_as_json(each) for each in rows])


def _workspace(call: Call, *, may_manage: bool) -> Row[Any]:
    """A workspace of one's own, or, where `may_manage` is enough, of another user's."""
    row = call.db.execute(workspace.select().where(workspace.c.wid == call.arguments["id"])).first()
    if row is None:
        raise _refused(404, "The workspace does not exist")
    own, actions = _who(call)
    if row.uid != own and not (may_manage and "manageSystem" in actions):
        raise _refused(403, "The user does not have permission to do this in the workspace")
    return row


def read_workspace(call: Call) -> Answer:
    return as_json(_as_json(_workspace(call, may_manage=True)))


def stop_workspace(call: Call) -> Answer:
    row = _workspace(call, may_manage=True)
    if not _stop(call, (workspace.c.wid == row.wid) & workspace.c.status.in_(("STARTING", "RUNNING"))):
        raise _refused(409, "Could not stop the workspace because its status is not running")
    return NO_CONTENT


def delete_workspace(call: Call) -> Answer:
    """An administrator may stop workspaces of others, and not delete them (C4)."""
    row = _workspace(call, may_manage=False)
    if row.status != STOPPED:
        raise _refused(409, "The workspace is not stopped")
    call.db.execute(workspace.delete().where(workspace.c.wid == row.wid))
    return NO_CONTENT


def rights(call: Call) -> Answer:
    """Permissions of the caller in a domain."""
    own, actions = _who(call)
    if call.arguments["domain"] != "system" or not actions:
        raise _refused(404, "Permissions of the user were not found")
    return as_json({"userId": own, "domainId": "system", "instanceId": None, "actions": list(actions)})


def _settle(db: Connection, now: datetime) -> None:
    due = workspace.c.stops_at <= now.isoformat()
    db.execute(workspace.delete().where(due & workspace.c.removed_then))
    db.execute(workspace.update().where(due).values(status=STOPPED, stops_at=None))


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    """A user, as the realm's token made them; the first of their two workspaces runs."""
    uid, name, email = keycloak.uid_of(person), person.username.lower(), person.email.lower()
    yield user, {"uid": uid, "name": name, "email": email}
    yield preference, {"uid": uid, "value": f'{{"theia-user-preferences": "{person.name}"}}'}
    yield ssh_pair, {"uid": uid, "name": "default", "public_key": f"ssh-rsa AAAA {email}"}
    yield worker, {"uid": uid, "wid": "workspace-of-another-user"}
    for number, status in enumerate(("RUNNING", STOPPED)):
        row = {"wid": f"workspace{person.user_id}x{number}", "uid": uid, "namespace": name, "status": status}
        yield workspace, {**row, "stops_at": None, "removed_then": False}


def _settings(url: str, urls: Mapping[str, str]) -> dict[str, Any]:
    name = "retirement-pipeline"
    return {
        "url": f"{url}/api",
        "keycloak_url": f"{urls['keycloak']}/auth",
        "realm": REALM,
        "client_id": name,
        "client_secret": CLIENTS[name][0],
        # The sandbox speaks http, whatever its hosts are called.
        "allow_insecure": True,
    }


def _routes() -> Iterable[Route]:
    routes: dict[str, dict[str, View]] = {
        "/user": {"GET": me},
        "/user/find": {"GET": find},
        "/user/{id}": {"GET": read, "DELETE": delete},
        "/workspace/namespace/{name}": {"GET": by_owner},
        "/workspace/{id}": {"GET": read_workspace, "DELETE": delete_workspace},
        "/workspace/{id}/runtime": {"DELETE": stop_workspace},
        "/permissions/{domain}": {"GET": rights},
    }
    return (Route(f"/api{path}", _gate, views) for path, views in routes.items())


VENDOR = Vendor(
    name="che",
    service="CHE",
    routes=list(_routes()),
    holds=_holds,
    settings=_settings,
    # The user of the realm goes last: it is what Che's is found by, and no sign-in is possible any more (C7).
    steps=[
        step("CHE", "CHE", "delete_learner"),
        step("KEYCLOAK", "KEYCLOAK", "delete_learner"),
    ],
    manners=Manners(
        not_found=Answer(404, b"There is no any resources matched to request path", "text/plain"),
        failed=as_json({"message": "Internal Server Error occurred"}, 500),
        wrong_method=Answer(405, b'{"message":"Method Not Allowed"}', JSON),
        redirects=False,
    ),
    settle=_settle,
)
