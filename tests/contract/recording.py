"""docs/reference/requests.md: what each operation really sends, recorded from a plain call on the simulated platform.

What belongs to the learner, secrets, and whatever differs from one run to the next are shown as placeholders.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus

import httpx

from retirement.learner import Learner
from tests.contract.stage import Exchange, Stage
from tests.contract.subjects import Subject, secrets_in, subjects

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "requests.md"
NOTE = "<!-- Written by `python -m tests.contract --write`; do not edit. -->"
INTRODUCTION = (
    "What each operation sends for one learner whom the service knows, recorded on the simulated platform.",
    "Placeholders stand for the learner, for secrets, and for what the service itself has named.",
    "Requests for a token are shown where the service gives its own; `JWT` tokens come from the LMS.",
)
#: Headers that the HTTP library sends by itself.
PLUMBING = {"host", "user-agent", "accept-encoding", "connection", "content-length"}
#: Fields of a form that are secrets or hold them.
MASKED = {"client_secret", "password", "assertion", "client_assertion"}
#: What a service or a clock has made, and what is shown in its place.
MADE = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"), "<token>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b20\d\d-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?"), "<date>"),
)
LONGEST_LINE = 100
#: Not inside of longer words, since a user id is a number like others; an encoded quote ends in a digit, though.
BEFORE = r"(?:(?<!\w)|(?<=%[0-9A-F]{2}))"


@dataclass
class Run:
    """The requests of one plain call, and what has to be hidden in them."""

    exchanges: list[Exchange]
    hidden: dict[str, str]
    works: bool


def page() -> str:
    """The whole page."""
    lines = ["# Requests", "", NOTE, "", *INTRODUCTION]
    service, shown = "", set[str]()
    for subject in subjects():
        if not subject.kind.__module__.startswith("retirement."):
            continue
        if subject.service != service:
            service, shown = subject.service, set()
            lines += ["", f"## {service}"]
        lines += ["", f"### {service} {subject.operation}", *_operation(subject, shown)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _operation(subject: Subject, shown: set[str]) -> Iterator[str]:
    """Its requests; those for a token once for each service, repeated ones once with their number."""
    runs = [asyncio.run(_recorded(subject)) for _ in range(2)]
    first, second = (_requests(subject, run) for run in runs)
    blocks = [_alike(one, other) for one, other in zip(first, second, strict=True)]
    yield ""
    if not blocks:
        yield "Sends nothing over HTTP."
    elif not runs[0].works:
        yield "The simulated platform has no such route; this is what is asked for."
    for block, group in groupby(blocks):
        if block in shown:
            continue
        if "grant_type=" in block:
            shown.add(block)
        times = len(list(group))
        yield from ("", *([f"{times} times, until the answer is the one that is waited for:", ""] if times > 1 else []))
        yield from ("```http", *block.splitlines(), "```")


async def _recorded(subject: Subject) -> Run:
    stage = Stage(subject)
    learner = await stage.learner()
    ending = await stage.perform()
    secrets = secrets_in(subject.kind.Settings(**subject.section))
    return Run(ending.exchanges, _hidden(learner, secrets), ending.error is None)


def _hidden(learner: Learner, secrets: list[str]) -> dict[str, str]:
    """Every text that must not be shown, the longest first, and its placeholder."""
    named = {
        learner.retired_email: "<retired_email>",
        learner.retired_username: "<retired_username>",
        learner.email: "<email>",
        learner.username: "<username>",
        learner.name: "<name>",
        hashlib.md5(learner.email.lower().encode(), usedforsecurity=False).hexdigest(): "<md5 of email>",
        **dict.fromkeys(secrets, "<secret>"),
    }
    spelt = {way(text): shown for text, shown in named.items() for way in (str, _quoted, quote_plus, _in_json)}
    return dict(sorted(spelt.items(), key=lambda pair: -len(pair[0]))) | {str(learner.user_id): "<user_id>"}


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _requests(subject: Subject, run: Run) -> list[str]:
    """Each request as text; those that sign in at another service are left out."""
    wanted = [each for each in run.exchanges if not each.signs_in or _app(each.request) == subject.app]
    return [_request(subject, each.request, run.hidden) for each in wanted]


def _app(request: httpx.Request) -> str:
    return request.url.host.removesuffix(".sandbox")


def _request(subject: Subject, request: httpx.Request, hidden: dict[str, str]) -> str:
    target = _masked(request.url.raw_path.decode(), hidden)
    elsewhere = "" if _app(request) == subject.app else f"  (to {_app(request)})"
    headers = {name.title(): value for name, value in request.headers.items() if name not in PLUMBING}
    lines = [f"{request.method} {target}{elsewhere}"]
    lines += [f"{name}: {_header(value, hidden)}" for name, value in sorted(headers.items())]
    if request.content:
        lines += ["", _masked(_body(request), hidden)]
    return "\n".join(lines)


def _header(value: str, hidden: dict[str, str]) -> str:
    """Of credentials only the kind; Basic shows what it is made of."""
    kind, _, rest = value.partition(" ")
    if kind == "Basic":
        name, _, _ = base64.b64decode(rest).decode().partition(":")
        return f"Basic base64({_masked(name, hidden)}:<secret>)"
    if kind in ("Bearer", "JWT"):
        return f"{kind} {'<secret>' if rest in hidden else '<token>'}"
    return _masked(value, hidden)


def _body(request: httpx.Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0]
    text = request.content.decode(errors="replace")
    if kind == "application/json":
        value = json.loads(text)
        line = json.dumps(value, ensure_ascii=False)
        return line if len(line) <= LONGEST_LINE else json.dumps(value, ensure_ascii=False, indent=2)
    if kind == "application/x-www-form-urlencoded":
        fields = parse_qsl(text, keep_blank_values=True)
        return "&".join(f"{key}={f'<{key}>' if key in MASKED else value}" for key, value in fields)
    return text


def _masked(text: str, hidden: dict[str, str]) -> str:
    for secret, placeholder in hidden.items():
        text = re.sub(rf"{BEFORE}{re.escape(secret)}(?!\w)", placeholder, text, flags=re.IGNORECASE)
    for pattern, placeholder in MADE:
        text = pattern.sub(placeholder, text)
    return text


def _alike(one: str, other: str) -> str:
    """Words that differ between two runs are the service's or the clock's."""
    here, there = re.split(r"(\W+)", one), re.split(r"(\W+)", other)
    if len(here) != len(there):
        return one
    return "".join(word if word == twin else "<varies>" for word, twin in zip(here, there, strict=True))
