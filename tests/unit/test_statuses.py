"""Every answer and every broken exchange becomes a reply or exactly one error, which quotes nobody."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator

import httpx
import pytest

from retirement.errors import Misconfigured, NotFound, RateLimited, Refused, ServiceError, Transient
from retirement.wire.reply import Reply, translate

from .doubles import EMAIL, NAME, USERNAME, Script, names_nobody

pytestmark = pytest.mark.anyio

BODIES = {
    "json": ("application/json", json.dumps({"detail": EMAIL}).encode()),
    "html": ("text/html; charset=utf-8", f"<p>{EMAIL}</p>".encode()),
    "text": ("text/plain", EMAIL.encode()),
    "empty": ("", b""),
}
#: Contract, lms.md section 7 and services.md sections 0.1, A0, F: what a status means by itself.
TABLE: list[tuple[range | list[int], str, type[ServiceError]]] = [
    (range(300, 400), "json html text empty", Misconfigured),
    ([401, 403, 405, 407], "json html text empty", Misconfigured),
    ([408, 425, 429], "json html text empty", Transient),
    ([404], "html text", Misconfigured),
    ([404], "json empty", NotFound),
    ([501, 505, 506, 508, 510, 511], "json html text empty", Misconfigured),
    (range(400, 500), "json text empty", Refused),
    (range(500, 600), "json html text empty", Transient),
]


def answer(status: int, kind: str, **headers: str) -> httpx.Response:
    content_type, body = BODIES[kind]
    return httpx.Response(status, headers={**({"content-type": content_type} if body else {}), **headers}, content=body)


async def send(*answers: httpx.Response | BaseException) -> Reply:
    api = Script(*answers).api()
    values = {"username": USERNAME}
    return await api.post("/people/{username}/", values=values, json={"name": NAME}, once=True)


async def error_of(answer: httpx.Response | BaseException) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await send(answer)
    return caught.value


@pytest.mark.parametrize("kind", BODIES)
async def test_every_status_means_exactly_what_the_table_says(kind: str) -> None:
    """300 to 599, with each kind of body; a page with another 4xx is tested below."""
    wrong = {}
    for status in range(300, 600):
        expected = next((error for codes, kinds, error in TABLE if status in codes and kind in kinds.split()), None)
        if expected and (found := type(await error_of(answer(status, kind)))) is not expected:
            wrong[status] = found.__name__

    assert wrong == {}


@pytest.mark.parametrize("kind", BODIES)
async def test_no_error_quotes_the_answer_or_the_request(kind: str) -> None:
    """Neither its text nor its traceback holds the body, the path's value or what was sent."""
    for status in range(300, 600):
        error = await error_of(answer(status, kind))
        assert names_nobody("".join(traceback.format_exception(error)) + repr(error.args))
        assert ("SVC", "POST /people/{username}/", status) == (error.service, error.request, error.status)


async def test_a_404_that_cannot_be_read_is_not_the_services_own() -> None:
    """An operation could take NotFound for `absent`; half an answer proves nothing."""
    broken = httpx.Response(404, headers={"content-type": "application/json"}, content=b'{"detail": ')

    assert type(await error_of(broken)) is not NotFound


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207])
@pytest.mark.parametrize("kind", ["json", "empty"])
async def test_success_is_returned(status: int, kind: str) -> None:
    """With the data where there is any."""
    reply = await send(answer(status, kind))

    assert (status, kind, {"detail": EMAIL} if kind == "json" else None) == (reply.status, reply.kind, reply.data)


async def test_a_reply_shows_no_data() -> None:
    """A status object is personal."""
    assert names_nobody(repr(await send(answer(200, "json"))))


async def test_a_page_where_data_is_due_is_a_wrong_host() -> None:
    """A login page answers 200 to everything."""
    assert type(await error_of(answer(200, "html"))) is Misconfigured


async def test_plain_text_where_data_is_due_is_a_wrong_host() -> None:
    """So does the stub of a load balancer, as text: no service of the contract answers text with a success."""
    assert type(await error_of(answer(200, "text"))) is Misconfigured


@pytest.mark.parametrize(
    "body",
    [b'{"a": ', b"", b"<html>", b'"\xff\xfe\xfa"', b"nothing", b"[" * 200_000],
    ids=["cut", "empty", "page", "encoding", "word", "deep"],
)
async def test_json_that_cannot_be_read_is_refused(body: bytes) -> None:
    """It says that it is JSON and is not; an empty body is none."""
    response = httpx.Response(200, headers={"content-type": "application/json"}, content=body)

    if not body:
        assert (await send(response)).kind == "empty"
    else:
        assert type(await error_of(response)) is Refused


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"])
async def test_json_is_known_by_its_content_type(content_type: str) -> None:
    """In any case, with parameters, and with a suffix."""
    assert (await send(httpx.Response(200, headers={"content-type": content_type}, content=b"[1]"))).data == [1]


async def test_a_reply_says_what_its_json_holds() -> None:
    """Only JSON is searched, at any depth and in any script."""
    said = Reply("SVC", "GET /", 500, "json", ["not a välid state"])

    assert said.says("välid state")
    assert not said.says("valid state")
    assert not Reply("SVC", "GET /", 500, "html", None).says("")


def broken(root: type[httpx.HTTPError] = httpx.RequestError) -> Iterator[type[httpx.HTTPError]]:
    """Every exception of httpx that an exchange can end in, the leaves of the tree."""
    children = root.__subclasses__()
    yield from (leaf for child in children for leaf in broken(child)) if children else (root,)


LEAVES = sorted(broken(), key=lambda leaf: leaf.__name__)
#: The service has surely not seen the whole request.
UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}
LASTING = {"UnsupportedProtocol", "LocalProtocolError", "TooManyRedirects"}


def raised(leaf: type[httpx.HTTPError]) -> httpx.HTTPError:
    request = httpx.Request("POST", f"https://svc.example/{USERNAME}", json={"email": EMAIL})
    return leaf(f"could not send {EMAIL}", request=request)  # type: ignore[call-arg]


def test_httpx_has_the_exceptions_that_we_know() -> None:
    """A new one in a new release wants a decision: is the request in doubt?"""
    assert {leaf.__name__ for leaf in LEAVES} == {
        *UNSENT,
        *LASTING,
        *("ReadError", "ReadTimeout", "WriteError", "WriteTimeout", "CloseError"),
        *("RemoteProtocolError", "ProxyError", "DecodingError"),
    }


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
async def test_a_broken_exchange_is_an_error_of_ours(leaf: type[httpx.HTTPError]) -> None:
    """With a reason of its own; in doubt unless the request never left; and nothing of httpx in its traceback."""
    error = await error_of(raised(leaf))

    if leaf.__name__ in LASTING:
        assert type(error) is Misconfigured
    else:
        assert type(error) is Transient
        assert error.in_doubt == (leaf.__name__ not in UNSENT)
    printed = "".join(traceback.format_exception(error))
    assert names_nobody(printed)
    assert "httpx." not in printed.replace("httpx.py", "")
    assert error.reason not in ("", "the exchange failed")


async def test_an_unknown_exception_of_httpx_is_in_doubt() -> None:
    """What we cannot judge may have done its work."""

    class NewError(httpx.TransportError):
        pass

    error = translate("SVC", "GET /", NewError(EMAIL))

    assert (error.reason, getattr(error, "in_doubt", None)) == ("the exchange failed", True)


@pytest.mark.parametrize(
    ("status", "in_doubt"), [(429, False), (503, True), (504, True), (502, True), (500, True), (408, True)]
)
@pytest.mark.parametrize("pause", [{}, {"retry-after": "3"}])
async def test_an_answer_leaves_in_doubt_whether_the_work_was_done(
    status: int, in_doubt: bool, pause: dict[str, str]
) -> None:
    """A gateway may have passed the request on; over its limit a service does nothing."""
    error = await error_of(answer(status, "html", **pause))

    assert type(error) is (RateLimited if pause else Transient)
    assert in_doubt == error.in_doubt


async def test_no_log_names_the_learner(caplog: pytest.LogCaptureFixture) -> None:
    """httpx would log the whole URL of every request."""
    caplog.set_level(logging.DEBUG)

    await send(answer(200, "json"))
    await error_of(answer(500, "html"))
    await error_of(raised(httpx.ReadError))

    assert names_nobody(caplog.text)
