"""Each kind of sink on a real server or disk, whose requests and file operations die with the process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retirement.partners.destination import Destination, destination

from .buckets import InBucket, s3_server, settings
from .drives import OnDrive
from .dying import Mortal, Place
from .mailboxes import Mailbox, mail_server
from .reporting import told
from .sftp_servers import OnServer, sftp_server

#: Makes the place of the files of one death, by the number of deaths before.
Make = Callable[[int], Place]


@dataclass
class Folder:
    """The operator's folder; the operations on its files die with the process."""

    path: Path
    patch: pytest.MonkeyPatch

    def destination(self, mortal: Mortal | None) -> Destination:
        self.patch.undo()
        if mortal:
            for name in ("unlink", "replace", "read_bytes", "iterdir"):
                self.patch.setattr(Path, name, self._below(mortal, vars(Path)[name]))
            self.patch.setattr(os, "open", self._below(mortal, os.open))
            self.patch.setattr(os, "fsync", mortal.doing(os.fsync))
        return destination(self.path, "https://campus.example")

    def _below(self, mortal: Mortal, work: Callable[..., Any]) -> Callable[..., Any]:
        """An operation of this folder and what is in it; the ledger's and the tests' own are let be."""

        def done(path: Path | str, *args: Any, **options: Any) -> Any:
            ours = isinstance(path, str | Path) and Path(path).is_relative_to(self.path)
            return (mortal.doing(work) if ours else work)(path, *args, **options)

        return done

    def told(self) -> Counter[tuple[str, str]]:
        assert not list(self.path.glob(".*.partial"))
        return told(self.path)


@asynccontextmanager
async def _folder(path: Path) -> AsyncIterator[Make]:
    with pytest.MonkeyPatch.context() as patch:

        def make(deaths: int) -> Folder:
            (path / f"reports-{deaths}").mkdir()
            return Folder(path / f"reports-{deaths}", patch)

        yield make


@asynccontextmanager
async def _bucket(path: Path) -> AsyncIterator[Make]:
    with s3_server() as url:
        InBucket(settings(url)).made()
        yield lambda deaths: InBucket(settings(url, prefix=f"{path.name}-{deaths}"))


@asynccontextmanager
async def _sftp(path: Path) -> AsyncIterator[Make]:
    (path / "served").mkdir()
    async with sftp_server(path / "served") as server:
        yield lambda deaths: OnServer(server, f"reports-{deaths}")


@asynccontextmanager
async def _mail(path: Path) -> AsyncIterator[Make]:
    async with mail_server(path) as box:

        def make(_deaths: int) -> Mailbox:
            box.accepted.clear()
            return box

        yield make


@asynccontextmanager
async def _drive(path: Path) -> AsyncIterator[Make]:
    drive = OnDrive(path)

    def make(_deaths: int) -> OnDrive:
        assert all(len(each["comments"]) == 1 for each in drive.reports()), "the people of a partner are told once"
        drive.reset()
        return drive

    yield make


#: Each kind of the settings, and how many of its requests or operations a report has at least.
SINKS: dict[str, tuple[Callable[[Path], AbstractAsyncContextManager[Make]], int]] = {
    "folder": (_folder, 40),
    "s3": (_bucket, 13),
    "sftp": (_sftp, 50),
    "mail": (_mail, 25),
    "drive": (_drive, 20),
}
