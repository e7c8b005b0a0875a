"""What takes notifications in tests: a mail server, and an HTTP server for Apprise's `json://`."""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from tests.in_thread import in_thread
from tests.ports import free_port

#: Stands in the URL of each channel, and may stand nowhere else.
SECRET = "hunter2-channel"


@dataclass
class Box:
    """What has arrived: subject and text of each message, and the files that came with them, by their names."""

    url: str
    messages: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def subjects(self) -> list[str]:
        return [subject for subject, _ in self.messages]

    def about(self, words: str) -> list[str]:
        """The texts of messages with these words in subject or text."""
        return [text for subject, text in self.messages if words in f"{subject}{text}"]


@dataclass
class _Letters:
    """Takes the mail."""

    box: Box

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        letter = message_from_bytes(envelope.content, policy=default)
        part = letter.get_body(("plain", "html"))
        self.box.messages.append((str(letter["Subject"]), part.get_content() if part else ""))
        for each in letter.iter_attachments():
            self.box.files[str(each.get_filename())] = bytes(each.get_payload(decode=True))
        return "250 OK"


@contextmanager
def mail() -> Iterator[Box]:
    """A mail server on this machine."""
    port = free_port()
    box = Box(f"mailto://127.0.0.1:{port}/?from=retirement@example.com&to={SECRET}@example.com")
    server = Controller(_Letters(box), hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield box
    finally:
        server.stop()


@contextmanager
def hook(status: int = 200) -> Iterator[Box]:
    """An HTTP server that answers each message with this status."""

    class Catcher(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            box.messages.append((given["title"], given["message"]))
            for each in given.get("attachments", ()):
                box.files[each["filename"]] = b64decode(each["base64"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Catcher)
    box = Box(f"json://oncall:{SECRET}@127.0.0.1:{server.server_port}/hook")
    with in_thread(server):
        yield box
