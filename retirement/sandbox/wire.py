"""Requests and answers as the simulated services see them: values, without any I/O.

The texts and statuses of refused bodies are those of Django REST framework (contract lms.md 1.1).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, parse_qsl

JSON = "application/json"
HTML = "text/html; charset=utf-8"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def empty(status: int, **headers: str) -> Answer:
    return Answer(status, headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def as_json(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, JSON, headers)


def html(status: int, title: str) -> Answer:
    """One of Django's error pages: only its status and its type carry meaning."""
    page = f"<!doctype html>\n<html lang=en><title>{title}</title><h1>{title}</h1></html>\n"
    return Answer(status, page.encode(), HTML)


NO_CONTENT = Answer(204)
PAGE_NOT_FOUND = html(404, "Not Found")
SERVER_ERROR = html(500, "Server Error (500)")


class ApiError(Exception):
    """A refusal that Django REST framework turns into `{"detail": …}`."""

    def __init__(
        self, status: int, detail: str, *, challenge: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.challenge, self.retry_after = status, detail, challenge, retry_after

    def answer(self) -> Answer:
        headers: tuple[tuple[str, str], ...] = (("www-authenticate", self.challenge),) if self.challenge else ()
        if self.retry_after is not None:
            headers = (*headers, ("retry-after", str(self.retry_after)))
        return as_json({"detail": self.detail}, self.status, headers)


class AbortError(Exception):
    """Ends the request with an answer, and undoes what it did, as a database error does (lms.md 1.7)."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass
class Request:
    """One HTTP request; header names are in lower case, `path` is decoded and `raw_path` is as it came."""

    service: str
    method: str
    path: str
    raw_path: str = ""
    query_string: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    address: str = ""
    body: bytes = b""
    #: Set by the fault `partial`: stop half-way, commit what was done and answer 500.
    stops_half_way: bool = False

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.query_string, keep_blank_values=True)

    @cached_property
    def media_type(self) -> str:
        return self.headers.get("content-type", "")

    def data(self, *, forms: bool = False) -> Any:
        """The parsed body; a JSON-only view refuses forms. Nothing at all and `null` count as `{}`."""
        kind = self.media_type.partition(";")[0].strip().lower()
        if not self.body:
            return {}
        if kind == JSON:
            value = self._json
            return {} if value is None else value
        if forms and kind in FORMS:
            return self.form
        raise self.unsupported()

    def unsupported(self) -> ApiError:
        """The 415 for a content type that the view does not read."""
        return ApiError(415, f'Unsupported media type "{self.media_type}" in request.')

    @cached_property
    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ApiError(400, f"JSON parse error - {error}") from None

    @cached_property
    def form(self) -> dict[str, str]:
        """The fields of a form, the last value of each; empty when the body is no form."""
        if self.media_type.startswith(FORMS[0]):
            return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))
        if not self.media_type.startswith(FORMS[1]):
            return {}
        message = message_from_bytes(f"Content-Type: {self.media_type}\r\n\r\n".encode() + self.body)
        parts = [part for part in message.walk() if not part.is_multipart()]
        return {str(part.get_param("name", header="content-disposition")): _text(part) for part in parts}

    def fields(self) -> dict[str, Any]:
        """The body as far as it is an object, for readers that only look for the learner it is about."""
        try:
            data = self.data(forms=True)
        except ApiError:
            return {}
        return data if isinstance(data, dict) else {}


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return payload.decode(errors="replace") if isinstance(payload, bytes) else ""
