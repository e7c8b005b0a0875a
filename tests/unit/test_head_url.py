"""Lines are posted to an address of the operator: within their time, and what is no success is one clear line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from retirement.errors import LedgerError
from retirement.wire.posting import post_lines
from tests.patient import PATIENCE
from tests.ports import free_port
from tests.wsgi import serving_wsgi

Start = Callable[[str, list[tuple[str, str]]], object]


class Receiver:
    """Takes posts and answers with a status; with 0 it never answers, until it is told to."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.got: list[tuple[str, str, bytes]] = []
        self.may_end = threading.Event()

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """One request."""
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        self.got.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], body))
        if not self.status:
            self.may_end.wait(PATIENCE)
        start(f"{self.status or 200} x", [("Location", "/elsewhere"), ("Content-Type", "text/plain")])
        return [b"Canary" * 1000]


@pytest.mark.parametrize(("status", "said"), [(204, None), (200, None), (302, "answered 302"), (500, "answered 500")])
def test_lines_are_posted_once_and_only_a_success_takes_them(status: int, said: str | None) -> None:
    """No redirect is followed, and nothing of the answer is in the error."""
    receiver = Receiver(status)
    with serving_wsgi(receiver) as address:
        if said:
            with pytest.raises(LedgerError, match=f"^ledger.head_url: {said}$"):
                post_lines("ledger.head_url", f"{address}/heads", b"line\n")
        else:
            post_lines("ledger.head_url", f"{address}/heads", b"line\n")

    assert receiver.got == [("POST", "/heads", b"line\n")]


def test_an_address_that_does_not_answer_is_given_up() -> None:
    """After its seconds, and at once where no program listens."""
    receiver = Receiver(0)
    with serving_wsgi(receiver) as address:
        with pytest.raises(LedgerError, match="did not answer within"):
            post_lines("ledger.head_url", f"{address}/heads", b"line\n", 0.2)
        receiver.may_end.set()
    with pytest.raises(LedgerError, match="cannot be reached"):
        post_lines("ledger.head_url", f"http://127.0.0.1:{free_port()}/", b"line\n")


def test_a_proxy_that_is_none_is_a_fault_of_the_posting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head is signed and stored by then, so that no command may end for it as for bad input."""
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://x")

    with pytest.raises(LedgerError, match=r"^ledger\.head_url: cannot be posted to: HTTPS_PROXY is no proxy"):
        post_lines("ledger.head_url", "https://heads.example.com/", b"line\n")
