"""Whether a ledger can be written: by writing what no run reads and taking it back, and by the room on its disk."""

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from retirement.errors import BusyElsewhere, LedgerError
from retirement.ledger.anchor import rewrite_anchor
from retirement.ledger.ledger import Ledger

#: Bytes of a learner of nine steps in a SQLite file (docs/operating.md).
LEARNER_BYTES = 18_000
#: More than the free end of any page of a database holds.
LONG = "the check of the ledger, " * 4000


async def require_writable(ledger: Ledger, learners: int) -> None:
    """Raises `LedgerError` unless ledger and anchor take a write, and a SQLite file's disk so many learners more."""
    with suppress(BusyElsewhere):  # another process does the same, which is the proof
        # A lease is no evidence, and each transaction is durable when it returns. A short text would fit into what
        # a full disk has already given to the file; the second one takes the room back.
        for text in (LONG, "the check of the ledger"):
            await ledger.leases.release(await ledger.leases.take("doctor", what=text))
    location = ledger.location
    await ledger.access.aside(lambda: rewrite_anchor(location.anchor))
    if file := location.file:
        await ledger.access.aside(lambda: take_room(file.parent, learners * LEARNER_BYTES))


def take_room(folder: Path, size: int) -> None:
    """Takes so many bytes of a folder's disk and gives them back. Raises `LedgerError` where they are not there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if sys.platform == "darwin":  # which has no such call
                file.write(bytes(size))
            else:
                os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise LedgerError(f"{folder}: there is no room for {size / 1e6:.1f} MB: {error.strerror}") from None
