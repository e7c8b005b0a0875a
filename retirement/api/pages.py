"""The few pages that the door has of its own: without scripts, and without anything of another host."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from retirement.api.people import Person

#: Where proxies ask whether they may pass a request on.
FORWARD_AUTH = "/forward-auth"
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "td,th{text-align:left;padding:.2em 1em .2em 0}"
)
#: Styles stand in the page itself; `{form}` is where a form of the page may lead to.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'{form}; frame-ancestors 'none'"
)


def page(
    title: str, body: str, status: int = 200, *, form_to: str = "", headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page; `body` is HTML, `form_to` a further origin to which a form may be answered with a redirect."""
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<main><h1>{escape(title)}</h1>{body}</main></html>"
    )
    policy = _POLICY.format(form=f" {form_to}" if form_to else "")
    return HTMLResponse(text, status, {"Content-Security-Policy": policy, **(headers or {})})


def is_for_people(request: Request) -> bool:
    """Whether a browser wants to show the answer as a page; a proxy that asks for it wants the status."""
    is_asked = request.scope["type"] == "http" and request.url.path != FORWARD_AUTH
    return is_asked and request.method == "GET" and "text/html" in request.headers.get("accept", "")


def sent_to_sign_in(request: Request) -> RedirectResponse:
    """To the sign-in, and from there back to the page that was wanted."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/sign-in?{urlencode({'next': request.url.path + query})}", 303)


def refusal(status: int, detail: str, headers: Mapping[str, str]) -> HTMLResponse:
    """Why a page is not shown."""
    return page("Not here", f'<p>{escape(detail)}.</p><p><a href="/">Back to the door</a></p>', status, headers=headers)


def front(person: Person | None, actions: Iterable[str], form_to: str) -> HTMLResponse:
    """The front page: who is signed in and what they may do, or where to sign in."""
    if person is None:
        return page("Retirement of learners", '<p><a href="/sign-in">Sign in</a></p>')
    own = f"/api/learners/{person.lms_user_id}"
    request = f'<p><a href="{own}">My request to be retired</a></p>' if person.lms_user_id is not None else ""
    may = ", ".join(actions) or "nothing: ask an administrator, and tell them the number above"
    return page(
        "Retirement of learners",
        f"<p>Signed in as <code>{escape(person.subject)}</code> of {escape(person.issuer)}.</p>"
        f"<p>You may: {escape(may)}.</p>{request}"
        '<p><a href="/dashboard">Runs and schedules</a>: the pages of Prefect</p>'
        '<p><a href="/api">What can be asked</a></p>'
        '<form method="post" action="/sign-out"><button>Sign out</button></form>',
        form_to=form_to,
    )


def description(openapi: dict[str, Any]) -> HTMLResponse:
    """What can be asked, for people: the same as in `/api/openapi.json`."""
    rows = "".join(
        f"<tr><td><code>{escape(method.upper())} {escape(path)}</code><td>{escape(str(told.get('summary', '')))}"
        for path, methods in openapi["paths"].items()
        for method, told in methods.items()
    )
    return page(
        "What can be asked",
        f"<table><tr><th>request<th>what it is for{rows}</table>"
        '<p><a href="/api/openapi.json">The same for programs</a>, as OpenAPI.</p>',
    )
