"""The anchor: a file, where the operator says, that holds the head of the chain after each commit.

It betrays a tail that was cut off, and a chain that was written anew, which no hash inside the ledger can.
One line of fixed width, written in one piece, so that a crash leaves the old head or the new one. An anchor
behind its chain is well: it covers what it covers.
"""

import fcntl
import os
import re
import tempfile
from pathlib import Path

from retirement.errors import LedgerError
from retirement.ledger.chain import Head

_LINE = re.compile(r"(\d{20}) ([0-9a-f]{64}) (\S{32})\n")
_WIDTH = 20 + 1 + 64 + 1 + 32 + 1


def write_anchor(path: Path | None, head: Head) -> None:
    """Writes the head, unless a later one stands there already; no path, no anchor. Raises `LedgerError`."""
    if path is None:
        return
    line = f"{head.seq:020d} {head.hash} {head.at}\n".encode("ascii")
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            standing = _standing(descriptor, path)
            if standing is None or standing.seq < head.seq:
                os.pwrite(descriptor, line, 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LedgerError(f"{path}: the anchor cannot be written: {error.strerror}") from None


def rewrite_anchor(path: Path | None) -> None:
    """Writes the same head once more, or a file beside a missing anchor that is gone at once. Raises `LedgerError`."""
    if path is None:
        return
    try:
        if not path.exists():
            with tempfile.TemporaryFile(dir=path.parent) as file:
                file.write(bytes(_WIDTH))
            return
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _standing(descriptor, path)
            os.pwrite(descriptor, os.pread(descriptor, _WIDTH, 0), 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LedgerError(f"{path}: the anchor cannot be written: {error.strerror}") from None


def _standing(descriptor: int, path: Path) -> Head | None:
    """The head that an open file holds, None for an empty file; raises `LedgerError` for any other file."""
    standing = _parsed(os.pread(descriptor, _WIDTH + 1, 0))
    if standing is None and os.fstat(descriptor).st_size:
        raise LedgerError(f"{path}: this file is not the anchor of a ledger")
    return standing


def read_anchor(path: Path | None) -> Head | None:
    """The head that was written last, None without a path or where the file is missing; raises `LedgerError`."""
    if path is None:
        return None
    try:
        standing = _parsed(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path}: the anchor cannot be read: {error.strerror}") from None
    if standing is None:
        raise LedgerError(f"{path}: this file is not the anchor of a ledger")
    return standing


def _parsed(line: bytes) -> Head | None:
    match = _LINE.fullmatch(line.decode("ascii", "replace"))
    return Head(int(match[1]), match[2], match[3]) if match else None
