"""A folder of this machine as a sink: files that only their owner can read, complete before they have their names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retirement.errors import ConfigError
from retirement.ledger.files import sync_folder
from retirement.partners.sinks.kit import StoreSink, draft_of, is_draft


class Folder:
    """The store of one folder; `option` is what the operator calls it."""

    def __init__(self, folder: Path, option: str) -> None:
        self._folder, self._option = folder, option

    async def require(self) -> None:
        """Writes a file and deletes it."""
        if not self._folder.is_dir():
            raise ConfigError(f"{self._option}: {self._folder} is no folder; make it, for its owner only")
        probe = self._folder / ".partner-report.partial"
        with self._writing():
            _write_private(probe, b"")
            probe.unlink()

    async def read(self, name: str) -> bytes | None:
        """Reads the whole file."""
        try:
            with self._writing():
                return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    async def write(self, name: str, content: bytes) -> None:
        """By a draft, of which nothing is left where a disk was full: it holds names as well."""
        draft = self._folder / draft_of(name)
        with self._writing():
            try:
                _write_private(draft, content)
                _renamed(draft, self._folder / name)
                sync_folder(self._folder)
            finally:
                draft.unlink(missing_ok=True)

    async def discard_drafts(self, begin: str) -> None:
        """Looks at the folder itself, which has no others below."""
        with self._writing():
            for path in sorted(self._folder.iterdir()):
                if is_draft(path.name, begin):
                    path.unlink()

    async def stored(self, name: str) -> bytes | None:
        """What `read` gives."""
        return await self.read(name)

    async def delete(self, name: str) -> None:
        """Deletes the file, and that on the disk."""
        with self._writing():
            (self._folder / name).unlink(missing_ok=True)
            sync_folder(self._folder)

    async def close(self) -> None:
        """There is nothing to end."""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Makes a `ConfigError` that names the option of what the file system refuses."""
        try:
            yield
        except FileNotFoundError:
            if self._folder.is_dir():
                raise
            raise ConfigError(f"{self._option}: {self._folder} is no folder any more; make it again") from None
        except OSError as error:
            raise ConfigError(f"{self._option}: {self._folder} cannot be written: {error.strerror}") from None


def folder_sink(folder: Path, name: str, option: str, only: tuple[str, ...] | None = None) -> StoreSink:
    """All files in one folder, which the operator sees as a whole."""
    return StoreSink(name, str(folder), Folder(folder, option), by_partner=False, only=only)


def _renamed(draft: Path, path: Path) -> None:
    draft.replace(path)


def _write_private(path: Path, content: bytes) -> None:
    """A new file for the owner only, on the disk when this returns."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
