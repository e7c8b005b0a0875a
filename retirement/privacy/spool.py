"""Rows that are too many for memory, in a file without a name: sealed, since they may name learners.

The key is in the memory of this process only, so what a disk may keep of a deleted file says nothing.
"""

import pickle
import tempfile
import weakref
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import IO, TypeVar

from cryptography.fernet import Fernet

T = TypeVar("T")

#: Rows that are in memory at a time. Fewer than these never come to the disk.
AT_ONCE = 500


class Spool(Collection[T]):
    """Rows that are added one after the other, and read in that order as often as it is wanted.

    Where the folder for temporary files has no room, they stay in memory.
    """

    def __init__(self, rows: Iterable[T] = ()) -> None:
        self._rows: list[T] = []
        self._pieces: list[tuple[int, int]] = []  #: where each is in the file, and how long
        self._file: IO[bytes] | None = None
        self._key = Fernet(Fernet.generate_key())
        self._count = 0
        self.extend(rows)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, row: object) -> bool:
        return any(each == row for each in self)

    def __iter__(self) -> Iterator[T]:
        place = 0
        # Rows that are added meanwhile may put those that were in memory away.
        while place < len(self._pieces):
            yield from self._piece(place)
            place += 1
        yield from list(self._rows)

    def append(self, row: T) -> None:
        """Adds a row."""
        self._rows.append(row)
        self._count += 1
        if len(self._rows) % AT_ONCE == 0:
            self._put_away()

    def extend(self, rows: Iterable[T]) -> None:
        """Adds rows."""
        for row in rows:
            self.append(row)

    def clear(self) -> None:
        """Drops every row."""
        self._rows.clear()
        self._pieces.clear()
        self._count = 0
        self._close()

    def batches(self, size: int) -> Iterator[list[T]]:
        """The rows, so many at a time."""
        rows = iter(self)
        while batch := list(islice(rows, size)):
            yield batch

    def _put_away(self) -> None:
        sealed = self._key.encrypt(pickle.dumps(self._rows))
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="retirement-", buffering=0)  # noqa: SIM115 - with the spool
                weakref.finalize(self, self._file.close)
            place = self._file.seek(0, 2)
            if self._file.write(sealed) < len(sealed):
                return  # no room for all of it
        except OSError:
            return
        self._pieces.append((place, len(sealed)))
        self._rows = []

    def _piece(self, place: int) -> list[T]:
        begin, length = self._pieces[place]
        assert self._file  # noqa: S101 - it has pieces
        self._file.seek(begin)
        sealed = self._file.read(length)
        found: list[T] = pickle.loads(self._key.decrypt(sealed))  # noqa: S301 - nothing else has the key, or wrote it
        return found

    def _close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
