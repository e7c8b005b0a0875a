"""Small files of secrets: written whole or not at all, for this account only, and never over one that is there."""

import os
import secrets
from pathlib import Path

from retirement.errors import LedgerError


def write_once(path: Path, content: bytes, what: str) -> None:
    """Writes a file; one that is there stays, so the first of two processes wins. Raises `LedgerError` about `what`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError:
            return
        finally:
            draft.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise LedgerError(f"{path}: {what} cannot be made: {error.strerror}") from None


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file for this account only, in place of one that is there. Raises `LedgerError`."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise LedgerError(f"{path}: cannot be written: {error.strerror}") from None
