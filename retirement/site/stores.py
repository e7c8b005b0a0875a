"""Stores of files outside of this machine, and what is asked of each: whole files by name, read back as they are."""

from collections.abc import Awaitable
from typing import Protocol

#: Bytes of the largest file that is read back, and the entries of the longest list: a remote may answer without end.
LARGEST, MOST_ENTRIES = 64 * 2**20, 100_000
#: Pages of the longest answer in pages.
MOST_PAGES = 10_000


class Store(Protocol):
    """Files by name in one place; every method raises `ConfigError` and `ServiceError`."""

    def require(self) -> Awaitable[None]:
        """Says what would keep files from being written."""

    def read(self, name: str) -> Awaitable[bytes | None]:
        """The content of a file as the store has it now, None where there is none."""

    def write(self, name: str, content: bytes) -> Awaitable[None]:
        """Writes a file, whole or not at all, in the place of one of that name."""

    def discard_drafts(self, begin: str) -> Awaitable[None]:
        """Deletes the drafts of files whose names begin so, in the folders of partners as well."""

    def stored(self, name: str) -> Awaitable[bytes | None]:
        """The content of a file, also of one that `read` would not take for delivered; None where there is none."""

    def delete(self, name: str) -> Awaitable[None]:
        """Deletes a file for good; one that is gone is no error."""

    def close(self) -> Awaitable[None]:
        """Ends connections."""
