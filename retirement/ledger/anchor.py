"""The anchor: a file, where the operator says, to which each head of the chain is added after its commit.

It betrays a tail that was cut off, and a chain that was written anew, which no hash inside the ledger can. Lines are
only ever added, so storage that lets nothing be overwritten holds it too; signed heads stand there with root, key and
signature. A line that a crash cut off does not count. An anchor behind its chain is well: it covers what it covers.
"""

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from retirement.errors import LedgerError
from retirement.ledger.chain import Head
from retirement.ledger.heads import SignedHead

_LINE = re.compile(rb"(\d{20}) ([0-9a-f]{64}) (\S{32})(?: ([0-9a-f]{64}) ([0-9a-f]{64}) ([0-9a-f]{128}))?")
#: More than two lines have.
_TAIL = 1024


def line_of(head: Head | SignedHead) -> str:
    """A head as it is written down, with its line end."""
    plain = head.head if isinstance(head, SignedHead) else head
    signed = f" {head.root} {head.key} {head.signature}" if isinstance(head, SignedHead) else ""
    return f"{plain.seq:020d} {plain.hash} {plain.at}{signed}\n"


def write_anchor(path: Path | None, head: Head | SignedHead) -> None:
    """Adds the head, unless it or a later one stands there already; no path, no anchor. Raises `LedgerError`."""
    if path is None:
        return
    with _opened(path, os.O_CREAT) as file:
        standing, is_whole = _standing(file, path)
        if standing is None or _rank(standing) < _rank(head):
            _add(file, line_of(head), is_whole=is_whole)


def _rank(head: Head | SignedHead) -> tuple[int, bool]:
    """A signed head comes after the same one without a signature."""
    return (head.head.seq, True) if isinstance(head, SignedHead) else (head.seq, False)


def rewrite_anchor(path: Path | None) -> None:
    """Adds the last line once more, or a file beside a missing anchor that is gone at once. Raises `LedgerError`."""
    if path is None:
        return
    if not path.exists():
        try:
            with tempfile.TemporaryFile(dir=path.parent) as file:
                file.write(bytes(_TAIL))
        except OSError as error:
            raise LedgerError(f"{path}: the anchor cannot be written: {error.strerror}") from None
        return
    with _opened(path) as found:
        standing, is_whole = _standing(found, path)
        if standing:
            _add(found, line_of(standing), is_whole=is_whole)


@contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    """An anchor that is open and locked; what the disk says of it is a `LedgerError`."""
    try:
        descriptor = os.open(path, os.O_APPEND | os.O_RDWR | flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LedgerError(f"{path}: the anchor cannot be written: {error.strerror}") from None


def _add(descriptor: int, line: str, *, is_whole: bool) -> None:
    # A line that was cut off stays what it is, in a line of its own.
    written = line.encode("ascii") if is_whole else b"\n" + line.encode("ascii")
    if os.write(descriptor, written) != len(written):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _standing(descriptor: int, path: Path) -> tuple[Head | SignedHead | None, bool]:
    """The last head of an open file, None for an empty one, and whether its last line is whole.

    Raises `LedgerError` for a file that holds no head.
    """
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    if not tail:
        return None, True
    *lines, rest = tail.split(b"\n")
    found = next((head for line in reversed(lines) if (head := _parsed(line))), None)
    if found is None:
        raise LedgerError(f"{path}: this file is not the anchor of a ledger")
    return found, not rest


def read_anchor(path: Path | None) -> Head | None:
    """The last head, None without a path or where the file is missing; raises `LedgerError`."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            standing, _ = _standing(file.fileno(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerError(f"{path}: the anchor cannot be read: {error.strerror}") from None
    return standing.head if isinstance(standing, SignedHead) else standing


def anchored(path: Path | None) -> Iterator[Head | SignedHead] | None:
    """Every head that stands in the anchor now, oldest first; None without a path or where the file is missing.

    What is added while it is read is not among them. Raises `LedgerError`, as does reading on.
    """
    last = read_anchor(path)
    if path is None or last is None:
        return None
    file = path.open("rb")
    return _lines(file, os.fstat(file.fileno()).st_size)


def _lines(file: BinaryIO, size: int) -> Iterator[Head | SignedHead]:
    with file:
        for line in file:
            size -= len(line)
            if size < 0:
                return
            if line.endswith(b"\n") and (found := _parsed(line[:-1])):
                yield found


def _parsed(line: bytes) -> Head | SignedHead | None:
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    seq, hash_, at, *signed = (part.decode("ascii") for part in match.groups(b""))
    head = Head(int(seq), hash_, at)
    return SignedHead(head, *signed) if all(signed) else head
