"""Prefect's server behind our lock: `python -m retirement.flows.kit.locked_server PORT`, on loopback only.

Prefect asks for the credential by itself (`retirement.flows.kit.lock`). What it lacks is here: a check of the Host
header, so that a page whose name was pointed at this machine after it was loaded is refused before anything is read,
and the place where a browser signs in without the credential in an address.
"""

import base64
import hmac
import json
import os
import secrets
import sys
from contextlib import suppress
from urllib.parse import parse_qs

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from retirement.flows.kit import held_port
from retirement.flows.kit.lock import HOSTS, SIGN_IN
from retirement.process import collect_rarely, without_core_dumps

#: The name under which Prefect's UI keeps the credential in the browser.
UI_KEY = "prefect-password"
#: Bytes of a form that are read at most.
LARGEST_FORM = 4096

_SIGNED_IN = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Signed in</title>
<script nonce="{nonce}">localStorage.setItem({key}, {value}); location.replace("/")</script></html>
"""


def locked(credential: str) -> TrustedHostMiddleware:
    """The application of Prefect's server, with our door before it."""
    # Behind `collect_rarely`, which is for what this imports.
    from prefect.server.api.server import create_app

    from retirement.flows.kit.place_of_many import keep_its_state
    from retirement.flows.kit.server_database import prepare_once, send_plain_times

    prepare_once()
    send_plain_times()
    keep_its_state()
    app: FastAPI = create_app(final=True)

    async def sign_in(request: Request) -> Response:
        if not hmac.compare_digest((await _form(request)).encode(), credential.encode()):
            return Response("the credential is not the one of this server", status_code=401)
        nonce = secrets.token_urlsafe(16)
        value = base64.b64encode(credential.encode()).decode()
        page = _SIGNED_IN.format(nonce=nonce, key=json.dumps(UI_KEY), value=json.dumps(value))
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": f"default-src 'none'; script-src 'nonce-{nonce}'; frame-ancestors 'none'",
        }
        return Response(page, media_type="text/html", headers=headers)

    # Before the mounted UI, which has an answer for every path.
    app.add_route(SIGN_IN, sign_in, methods=["POST"])
    app.router.routes.insert(0, app.router.routes.pop())
    # Around the application and not within: automations ask it in memory, by a name of their own.
    return TrustedHostMiddleware(app, allowed_hosts=list(HOSTS), www_redirect=False)


async def _form(request: Request) -> str:
    """The credential of a submitted form, "" where there is none."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_FORM:
            return ""
    return parse_qs(body.decode("ascii", "replace")).get("credential", [""])[0]


def main(port: int) -> None:
    """Serves until a signal ends it."""
    collect_rarely()
    without_core_dumps()
    listening = held_port.listening(port)
    app = locked(os.environ["PREFECT_SERVER_API_AUTH_STRING"])
    with suppress(KeyboardInterrupt):  # SIGINT, which it ended on
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


if __name__ == "__main__":
    main(int(sys.argv[1]))
