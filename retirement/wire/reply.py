"""What a service answered, and what an answer means before the operation has had its say.

Nothing that a remote sent leaves this module inside an error: errors name the service, the method with the path
template, the status, and a reason of ours (`retirement.errors`).
"""

import json as jsonlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from retirement.errors import Busy, Misconfigured, NotFound, RateLimited, Refused, ServiceError, Transient
from retirement.wire.elements import require_whole

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: whose it is and to what, its status, what kind of body it had, and the body when that was JSON.

    `request` is method and path template. Its errors are made here, so that each names both: `raise
    reply.refused("the list of users is missing")`.
    """

    service: str
    request: str
    status: int
    #: `empty`, `json`, `html`, `text`, or `unreadable` for JSON that is none.
    kind: str
    data: Any = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is a success."""
        return 200 <= self.status < 300

    @property
    def mapping(self) -> dict[str, Any]:
        """The body where that is a JSON object, else an empty one."""
        return self.data if isinstance(self.data, dict) else {}

    def at(self, *names: str) -> Any:
        """What stands below these names, each in the object of the one before; None where nothing does."""
        found = self.data
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def member(self, name: str, kind: type[T], what: str) -> T:
        """The member of the JSON object with this name and of just this type; JSON's true is no `int`.

        Raises `Refused` for any other answer: `what` is missing.
        """
        found = self.mapping.get(name)
        if type(found) is not kind:
            raise self.refused(f"{what} is missing")
        return found

    def items(self, found: object, fits: Callable[[Any], bool], reason: str) -> list[Any]:
        """A part of the answer that has to be a list, each item of which fits. Raises `Refused` for this reason."""
        if not isinstance(found, list) or not all(map(fits, found)):
            raise self.refused(reason)
        return found

    @property
    def pause(self) -> float | None:
        """Seconds to wait as the answer asks for; None where it does not."""
        return retry_after(self.headers.get("retry-after", ""))

    def says(self, text: str) -> bool:
        """Whether the body is JSON and holds this text somewhere."""
        return self.kind == "json" and text in jsonlib.dumps(self.data, ensure_ascii=False)

    def refused(self, reason: str = "") -> Refused:
        """This learner's request was understood and not done, or the answer does not prove that it was."""
        return Refused(self.service, self.request, self.status, reason)

    def misconfigured(self, reason: str) -> Misconfigured:
        """The fault of credentials, address or route: no learner's."""
        return Misconfigured(self.service, self.request, self.status, reason)

    def transient(self, reason: str = "", *, in_doubt: bool = False) -> Transient:
        """What may pass by itself; `in_doubt`: the work may have been done all the same."""
        return Transient(self.service, self.request, self.status, reason, in_doubt)

    def busy(self, reason: str) -> Busy:
        """What passes when something else has ended, minutes from now."""
        return Busy(self.service, self.request, self.status, reason)

    def rate_limited(self, seconds: float, reason: str = "", *, in_doubt: bool = False) -> RateLimited:
        """What may pass after so many seconds."""
        return RateLimited(self.service, self.request, self.status, reason, in_doubt, seconds)


#: Looks at an answer before the general table does. True: take it as the reply. None: the table decides.
Judge = Callable[[Reply], bool | None]


#: A body as it is read: its bytes, or what was kept of a list that was read while it came in; None: of no such list.
Body = bytearray | list[Any] | None


def is_json(response: httpx.Response) -> bool:
    """Whether an answer says that it is JSON."""
    kind = _kind_of(response)
    return kind == "application/json" or kind.endswith("+json")


def _kind_of(response: httpx.Response) -> str:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower()


def read(service: str, request: str, response: httpx.Response, content: Body) -> Reply:
    """The reply of an answer with this body, whose bytes are gone then; `request` is method and path template."""
    data: Any = None
    if isinstance(content, list):
        body, data = "json", content
    elif content is None:
        body = "unreadable"
    elif not content:
        body = "empty"
    elif is_json(response):
        try:
            body, data = "json", _decoded(content)
        except (ValueError, RecursionError):
            body = "unreadable"
    else:
        body = "html" if _kind_of(response) == "text/html" else "text"
    return Reply(service, request, response.status_code, body, data, response.headers)


def _decoded(content: bytearray) -> Any:
    """The value of a JSON body. Raises `ValueError`, also for text that JSON allows and UTF-8 does not."""
    text = content.decode(jsonlib.detect_encoding(content))
    # A second copy of the answer is given up before it is read.
    content.clear()
    value = jsonlib.loads(text)
    require_whole(text, value, 0, len(text))
    return value


#: Transport errors after which the service has surely not seen the whole request.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

_TRANSPORT_REASONS: dict[type[httpx.HTTPError], str] = {
    httpx.ConnectTimeout: "no connection in time",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "the request could not be sent in time",
    httpx.PoolTimeout: "no free connection in time",
    httpx.ConnectError: "no connection",
    httpx.ReadError: "the connection broke before the answer was whole",
    httpx.WriteError: "the connection broke while sending",
    httpx.CloseError: "the connection broke while closing",
    httpx.ProxyError: "the proxy refused",
    httpx.LocalProtocolError: "the request broke the protocol",
    httpx.RemoteProtocolError: "the connection closed before the answer was whole",
    httpx.DecodingError: "the answer's encoding cannot be read",
    httpx.UnsupportedProtocol: "the address is neither http nor https",
    httpx.TooManyRedirects: "it redirects in circles",
}


def translate(service: str, request: str, error: httpx.HTTPError) -> ServiceError:
    """The error of ours for one of httpx; theirs hold the request, so they never travel further."""
    reason = _TRANSPORT_REASONS.get(type(error), "the exchange failed")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Misconfigured(service, request, None, "its certificate is not one that this machine trusts")
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects)):
        return Misconfigured(service, request, None, reason)
    return Transient(service, request, None, reason, not isinstance(error, _NOT_SENT))


#: 4xx that may pass by themselves; 409 is a matter of the operation, not of time.
_PASSING = frozenset({408, 425, 429})
#: 5xx that will not: the server does not do such things at all.
_LASTING = frozenset({501, 505, 506, 508, 510, 511})


def classify(reply: Reply) -> ServiceError | None:
    """The error that an answer means by itself, None for success: the one table of statuses.

    Operations know more (a 404 that is success, a 500 that is permanent): their `judge` looks first.
    """
    status = reply.status
    if reply.ok:
        return _unusable_success(reply)
    if status < 400:
        return reply.misconfigured("a redirect: check the scheme and the path of the base URL")
    if status in _PASSING or (status >= 500 and status not in _LASTING):
        return _passing(reply)
    if status == 404:
        return _missing(reply)
    if status in (401, 403):
        return reply.misconfigured("credentials or permission missing")
    if status in (405, 407) or status in _LASTING:
        return reply.misconfigured("the service does not do this here")
    return reply.refused()


def _unusable_success(reply: Reply) -> ServiceError | None:
    if reply.kind in ("html", "text"):
        return reply.misconfigured("a page where data is due: a login page or a wrong host")
    if reply.kind == "unreadable":
        return reply.refused("the answer says that it is JSON, and is none in UTF-8")
    return None


def _missing(reply: Reply) -> ServiceError:
    if reply.kind in ("json", "empty"):
        return NotFound(reply.service, reply.request, reply.status)
    return reply.misconfigured("no such route: wrong base URL, or the feature is off")


def _passing(reply: Reply) -> Transient:
    # Over its limit a service does nothing; a proxy before it may have passed the request on.
    in_doubt = reply.status != 429
    pause = reply.pause
    return reply.transient(in_doubt=in_doubt) if pause is None else reply.rate_limited(pause, in_doubt=in_doubt)


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """Seconds to wait by a `Retry-After` header, given as seconds or as a date; None without a usable one."""
    if value.strip().isdecimal():
        return float(value)
    moment = moment_of(value)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()) if moment else None


def moment_of(value: str) -> datetime | None:
    """The moment of an HTTP date, None for what is none."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
