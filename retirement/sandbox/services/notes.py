"""The notes service (contract services.md A7): it requires a token of its own, for exactly one anonymous id."""

from __future__ import annotations

from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import NO_CONTENT, Answer, ApiError, Request
from retirement.sandbox.world import World
from retirement.sandbox.world.identity import NOTES_CLIENT
from retirement.sandbox.world.schema import note
from retirement.sandbox.world.tokens import NO_ACCOUNT, NOT_PROVIDED, Principal, decode


def annotator(request: Request, world: World) -> Principal:
    """403 for everything that does not fit, a missing `user` included; an LMS token does not help."""
    claims = decode(request.headers.get("x-annotator-auth-token", ""), NOTES_CLIENT.client_secret)
    user = request.fields().get("user")
    if not claims or claims.get("aud") != NOTES_CLIENT.client_id or not user or claims.get("sub") != user:
        raise ApiError(403, NOT_PROVIDED)
    return NO_ACCOUNT


def retire_annotations(call: Call) -> Answer:
    user = call.request.data(forms=True)["user"]
    call.db.execute(note.delete().where(note.c.user == user))
    return NO_CONTENT


ROUTES = [Route("/api/v1/retire_annotations/", annotator, {"POST": retire_annotations})]
