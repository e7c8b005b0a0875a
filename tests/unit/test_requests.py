"""What goes over the wire: one segment for one value, no redirects, our headers."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote_to_bytes

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retirement.errors import Misconfigured, Refused
from retirement.wire.api import Api
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply

from .doubles import USERNAME, Naps, Script

pytestmark = pytest.mark.anyio

PATH = "/people/{username}/status/"
AWKWARD = [
    "a/b",
    "a?b",
    "a#b",
    "a%b",
    "a%2Fb",
    "a+b",
    "a b",
    "a&b=c",
    "a;b",
    "ä",
    "学习者",
    "..a",
    "a/..",
    "../x",
    "{x}",
    "'",
]


async def sent(value: object, base_url: str = "https://svc.example", path: str = PATH) -> httpx.Request:
    script = Script(httpx.Response(204))
    api = Api("SVC", script.pool(base_url))
    await api.get(path, values={"username": value})
    return script.requests[0]


@pytest.mark.parametrize("value", [*AWKWARD, USERNAME])
async def test_a_value_arrives_as_one_segment(value: str) -> None:
    """Whatever it holds, it leads to no other route and no query."""
    target = (await sent(value)).url.raw_path

    segments = target.split(b"/")
    assert segments[:2] + segments[3:] == [b"", b"people", b"status", b""]
    assert value == unquote_to_bytes(segments[2]).decode()
    assert b"+" not in segments[2]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=150).filter(lambda text: text.strip(".")))
def test_any_text_arrives_as_one_segment(value: str) -> None:
    """Found by trying."""
    segments = asyncio.run(sent(value)).url.raw_path.split(b"/")

    assert (5, value) == (len(segments), unquote_to_bytes(segments[2]).decode())


async def test_a_number_is_a_value_too() -> None:
    """The LMS user id."""
    assert (await sent(17)).url.raw_path == b"/people/17/status/"


@pytest.mark.parametrize("value", ["", ".", "..", "..."])
async def test_a_value_that_is_a_folder_is_sent_nowhere(value: str) -> None:
    """`..` would lead to another route, nothing would too."""
    script = Script(httpx.Response(204))

    with pytest.raises(Refused) as caught:
        await script.api().get(PATH, values={"username": value})

    assert ([], f"GET {PATH}", None) == (script.requests, caught.value.request, caught.value.status)


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://svc.example", b"/x/"),
        ("https://svc.example/", b"/x/"),
        ("https://svc.example/prefix", b"/prefix/x/"),
        ("https://svc.example/prefix/", b"/prefix/x/"),
    ],
)
async def test_the_prefix_of_a_base_url_stays(base_url: str, expected: bytes) -> None:
    """Services stand behind path prefixes."""
    request = await sent("x", base_url, "/{username}/")

    assert expected == request.url.raw_path


@pytest.mark.parametrize("path", ["/no/slash", "/with/slash/"])
async def test_the_final_slash_is_as_written(path: str) -> None:
    """Presence and absence are part of the contract (section 1.5)."""
    assert (await sent("x", path=path)).url.path == path


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    """A client that follows turns POST into GET, or sends the token to another host."""
    script = Script(httpx.Response(status, headers={"location": "https://elsewhere.example/"}))
    api = script.api()

    with pytest.raises(Misconfigured) as caught:
        await api.post("/x/", json={"username": USERNAME})

    assert (1, status) == (len(script.requests), caught.value.status)


async def test_repeated_parameters_stay_apart() -> None:
    """`states=A&states=B`, never comma-joined (contract, section 4.1)."""
    script = Script(httpx.Response(200, json=[]))

    await script.api().get("/queue/", params=[("states", "A"), ("states", "B & C")])

    assert script.requests[0].url.query == b"states=A&states=B+%26+C"


async def test_json_and_forms_say_what_they_are() -> None:
    """Only the token endpoint takes a form."""
    script = Script(httpx.Response(204))
    api = script.api()

    await api.put("/x/", json={"username": "学"})
    await api.post("/x/", form={"grant_type": "x y"})
    await api.post("/x/")

    kinds = [request.headers.get("content-type") for request in script.requests]
    assert kinds == ["application/json", "application/x-www-form-urlencoded", None]
    assert ['{"username":"学"}'.encode(), b"grant_type=x+y", b""] == [request.content for request in script.requests]
    assert {"application/json"} == {request.headers["accept"] for request in script.requests}


@pytest.mark.parametrize("patience", Patience)
async def test_no_request_waits_for_ever(patience: Patience) -> None:
    """Five seconds to connect, and as long to read as the operation may take."""
    script = Script(httpx.Response(204))

    await script.api().post("/x/", patience=patience)

    limits = script.requests[0].extensions["timeout"]
    assert (5, patience.value.read) == (limits["connect"], limits["read"])
    assert None not in limits.values()


async def test_a_judge_that_raises_is_obeyed_before_the_table() -> None:
    """An operation knows more than the table of statuses."""

    def judge(reply: Reply) -> None:
        raise Refused("SVC", "POST /x/", reply.status, "known to be lasting")

    naps = Naps()
    script = Script(httpx.Response(500))

    with pytest.raises(Refused):
        await script.api(naps).post("/x/", judge=judge)
    assert (len(script.requests), naps.taken) == (1, [])


HALVES = ["\ud800", "x\udfff y", "\udc00\ud800"]


@pytest.mark.parametrize("half", HALVES)
async def test_a_value_with_half_a_character_is_sent_nowhere(half: str) -> None:
    """In a path, a query, a body or a form: a clear refusal that does not show it."""
    for options in ({"values": {"username": half}}, {"params": [("q", half)]}, {"json": [half]}, {"form": {"a": half}}):
        script = Script(httpx.Response(204))

        with pytest.raises(Refused, match="half a character"):
            await script.api().post(PATH, **{"values": {"username": "x"}, **options})  # type: ignore[arg-type]  # one of four

        assert script.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b'["\\ud800"]',
        b'{"id": "a\\uDC00b"}',
        b'{"\\ud83d": 1}',
        b'[{"id": "\\ude00\\ud83d"}]',
        b'["\xed\xa0\x80"]',
        b'["\xff"]',
    ],
)
async def test_json_that_no_utf_8_can_carry_is_unreadable(body: bytes) -> None:
    """Its texts could neither be sent nor stored: a learner would be ERRORED for a defect of ours."""
    script = Script(httpx.Response(200, content=body, headers={"content-type": "application/json"}))

    with pytest.raises(Refused, match="none in UTF-8"):
        await script.api().get(PATH, values={"username": "x"})


@pytest.mark.parametrize(
    ("body", "data"),
    [
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b'["\\\\ud800"]', ["\\ud800"]),
        (b'\xef\xbb\xbf["a"]', ["a"]),
        ('["ä"]'.encode("utf-16"), ["ä"]),
    ],
)
async def test_json_with_whole_characters_is_read(body: bytes, data: object) -> None:
    """Pairs of escapes, an escaped backslash, a byte order mark, another encoding."""
    script = Script(httpx.Response(200, content=body, headers={"content-type": "application/json"}))

    assert (await script.api().get(PATH, values={"username": "x"})).data == data
