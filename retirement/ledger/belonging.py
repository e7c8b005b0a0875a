"""Which site a ledger belongs to: its first entry names it, and a configuration of another site is refused.

User ids and retirements have numbers of their LMS, so two sites in one ledger would be taken for one: a learner of a
rehearsal would keep a real one of the same number from being retired, or reported.
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, inspect, select

from retirement.errors import ConfigError
from retirement.ledger.access import clock_of
from retirement.ledger.chain import Head
from retirement.ledger.location import LedgerLocation
from retirement.ledger.tables import SiteRow
from retirement.ledger.transaction import New, Transaction, opened_transaction

#: The entry that names the site of a ledger.
SITE_NAMED = "site.named"
#: The number of the only row.
_ONLY = 1


def site_of(connection: Connection) -> str | None:
    """The site that a ledger belongs to, None while it belongs to none."""
    return connection.scalar(select(SiteRow.name))


def require_site(connection: Connection, location: LedgerLocation) -> None:
    """Raises `ConfigError` where the ledger belongs to another site than the location says; a new one to none."""
    if location.site is None or not inspect(connection).has_table(SiteRow.__tablename__):
        return
    found = site_of(connection)
    if found is not None and found != location.site:
        own = "ledger.url" if location.file else "ledger.postgresql_schema or ledger.url"
        raise ConfigError(
            f"{location}: is the ledger of the site {found}, and this configuration is of {location.site}: give it a "
            f"ledger of its own ({own}); if both are one site, write its name there into ledger.site"
        )


def settle(
    connection: Connection, location: LedgerLocation, clock: Callable[[], datetime] | None = None
) -> Head | None:
    """Makes a ledger that belongs to no site that of the location; its new head, None where nothing was entered.

    Inside a transaction that may write. Raises `ConfigError` as `require_site`.
    """
    if location.site is None:
        return None
    if site_of(connection) is None:
        tx = opened_transaction(connection, clock_of(location, clock), writable=True)
        # Another process may have done it before the lock was ours.
        if site_of(connection) is None:
            _name(tx, location.site)
            return tx.append()
    require_site(connection, location)
    return None


def _name(tx: Transaction, site: str) -> None:
    tx.enter(SITE_NAMED, New(SiteRow(id=_ONLY, name=site, since=tx.now)), facts={})
