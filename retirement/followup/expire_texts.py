"""The end of free texts in the ledger: reasons, bases and evidence go after some days, what proves an erasure stays."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from retirement.config import Configuration
from retirement.errors import ConfigError
from retirement.ledger import TakenOut, take_out_older
from retirement.site import ledger_location
from retirement.site.stopping import Stop


async def expire_texts(
    configuration: Configuration,
    stop: Stop,
    tell: Callable[[TakenOut], None],
    *,
    days: int | None = None,
    dry_run: bool = False,
) -> None:
    """Takes the texts out that are `ledger.text_days` old, or `days`; tells each transaction. The ledger is not open.

    Raises `ConfigError` where nothing says how many days, `Interrupted` and `LedgerError`. The next run goes on from
    where this one ended.
    """
    age = configuration.ledger.text_days if days is None else days
    if age is None:
        raise ConfigError("--days: say after how many days texts are taken out, or set ledger.text_days")
    steps = take_out_older(ledger_location(configuration), timedelta(days=age), dry_run=dry_run)
    while (done := await asyncio.to_thread(next, steps, None)) is not None:
        tell(done)
        stop.ensure_unset()


def summary(found: Sequence[TakenOut]) -> str:
    """What a run came to, or would come to, in one line."""
    texts, entries = sum(each.texts for each in found), sum(each.entries for each in found)
    in_use = sum(each.in_use for each in found)
    told = f"{texts} texts of {entries} entries" if texts else "no text is due"
    return f"{told}; {in_use} old entries are still in use" if in_use else told


def document(found: Sequence[TakenOut]) -> dict[str, int | str]:
    """A run for `--json`."""
    return {
        "summary": summary(found),
        "texts": sum(each.texts for each in found),
        "entries": sum(each.entries for each in found),
        "in_use": sum(each.in_use for each in found),
    }
