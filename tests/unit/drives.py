"""The sandbox's Google Drive as a place of partner reports, with a look at what is in it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, delete, insert, select, update

from retirement.config.partners import DriveSettings
from retirement.partners.destination import Destination
from retirement.partners.sinks.drive import drive_sink
from retirement.sandbox import Sandbox
from retirement.sandbox.vendors import drive
from retirement.sandbox.vendors.drive_sign_in import account_key
from retirement.wire.pool import Pool

from .dying import Mortal

ORGS = ("OrgA", "OrgB", "Zürich U.")
URL = f"http://{drive.NAME}.sandbox"


def error(status: int, reason: str) -> dict[str, Any]:
    """A fault with an error in Google's form."""
    text = "CanaryName says no"
    body = {"code": status, "message": text, "errors": [{"domain": "global", "reason": reason, "message": text}]}
    return {"status": status, "body": json.dumps({"error": body}), "headers": {"content-type": "application/json"}}


class OnDrive:
    """A shared drive with a folder for each organisation. `folder` takes the key of the account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mortal: Mortal | None = None
        learner = {"username": "known", "enrollments": [{"org": org} for org in ORGS]}
        self.sandbox = Sandbox({"learners": [learner]})
        self._new = self.sandbox.snapshot()
        (folder / "key.json").write_text(json.dumps(account_key(URL)))

    def reset(self) -> None:
        """As it was, with the same folders."""
        self.sandbox.restore(self._new)

    @contextmanager
    def rows(self) -> Iterator[Connection]:
        """The tables, to look in and to change what is there."""
        with self.sandbox._platform.world.database.transaction() as db:
            yield db

    def id_of(self, org: str) -> str:
        """The id of an organisation's folder."""
        with self.rows() as db:
            return str(db.scalar(select(drive.file.c.record).where(drive.file.c.name == org)))

    def make(self, record: str, name: str) -> None:
        """One more folder below that of the partners."""
        with self.rows() as db:
            values = {"record": record, "parent": drive.PARTNERS, "name": name, "mime_type": drive.FOLDER}
            db.execute(insert(drive.file).values(**values))

    def change(self, record: str, **values: Any) -> None:
        """Changes a file as no request of ours does."""
        with self.rows() as db:
            db.execute(update(drive.file).where(drive.file.c.record == record).values(**values))

    def lose(self, record: str) -> None:
        """Takes a file away."""
        with self.rows() as db:
            db.execute(delete(drive.file).where(drive.file.c.record == record))

    def share(self, record: str, *people: dict[str, str | None]) -> None:
        """Gives a folder other people than it had."""
        with self.rows() as db:
            db.execute(delete(drive.permission).where(drive.permission.c.file == record))
            db.execute(insert(drive.permission), [{"file": record, "role": "reader", **each} for each in people])

    def arm(self, path: str, **fault: Any) -> None:
        """A fault of the next request to a path, or of so many."""
        self.sandbox.arm([{"service": drive.NAME, "path": path, **fault}])

    def settings(self, **changes: Any) -> DriveSettings:
        """As `--write-config` gives them."""
        return DriveSettings(**drive.settings(URL, str(self.folder / "key.json")) | {"allow_insecure": True} | changes)

    def pool(self, url: str, _at_once: int = 2) -> Pool:
        return Pool(url, httpx.MockTransport(self._answered))

    def destination(self, mortal: Mortal | None, **changes: Any) -> Destination:
        self.mortal = mortal
        return Destination(None, "campus.example", (drive_sink(self.settings(**changes), self.pool),))

    def reports(self) -> list[dict[str, Any]]:
        """The files, each with what was said on it."""
        said = drive.comment
        with self.rows() as db:
            found = db.execute(select(drive.file).where(drive.file.c.content.is_not(None)).order_by(drive.file.c.id))
            return [
                {**row, "comments": list(db.scalars(select(said.c.content).where(said.c.file == row["record"])))}
                for row in found.mappings()
            ]

    def told(self) -> Counter[tuple[str, str]]:
        """How often each learner is in a file of each organisation."""
        names = {self.id_of(org): org.replace("Zürich U.", "Zürich-U") for org in ORGS}
        found: Counter[tuple[str, str]] = Counter()
        for each in self.reports():
            for row in csv.DictReader(io.StringIO(each["content"].decode("utf-8"), newline="")):
                found[row["original_username"], names[each["parent"]]] += 1
        return found

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """What the drive answers."""
        return await httpx.ASGITransport(self.sandbox.apps[drive.NAME]).handle_async_request(request)

    async def _answered(self, request: httpx.Request) -> httpx.Response:
        return await (self.mortal.awaiting(self.answer) if self.mortal else self.answer)(request)
