"""Which schema a ledger has, how a new one gets its own, and how an older one is brought up to date.

The migrations are inside the package, so no file has to be found next to an installation. Creating and
migrating happen under the write lock: of two processes that start at once, the second finds it done.

Alembic is imported by what needs it only: most commands find their schema, and the import would be a tenth of theirs.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Text, column, inspect, select, table, text
from sqlalchemy.schema import CreateSchema

from retirement.errors import ConfigError
from retirement.ledger.location import LedgerLocation
from retirement.ledger.tables import SCHEMA

if TYPE_CHECKING:
    from alembic.config import Config

_VERSION = select(column("version_num", Text)).select_from(table("alembic_version"))
#: The first schema whose tables of evidence have today's columns: from it on a ledger can be verified before it is
#: migrated, since what came later are more tables and indexes.
_EVIDENCE_SINCE = "0001"
_SCHEMA_LOCK = 0x52455449524553


def prepare(connection: Connection, location: LedgerLocation) -> None:
    """Gives an empty database our schema. Raises `ConfigError` where it has another one.

    Inside a transaction that may write.
    """
    found = schema_of(connection)
    if found is None:
        _lock_for_tables(connection, location)
        found = schema_of(connection)
    if found is None:
        if inspect(connection).get_table_names():
            raise ConfigError(f"{location}: holds tables that are not a ledger's")
        _migrate(connection)
        return
    require_schema(found, str(location))


def require_schema(found: str, name: str, *, written: bool = True) -> None:
    """Raises `ConfigError` unless this release writes, or at least reads, a ledger of that schema."""
    is_known = found in _known()
    if found == SCHEMA or (not written and is_known and found >= _EVIDENCE_SINCE):
        return
    if is_known:
        raise ConfigError(f"{name}: was written by an older release: run `retirement ledger migrate`")
    raise ConfigError(f"{name}: was written by a newer release (its schema is not known here)")


def upgrade(connection: Connection, location: LedgerLocation) -> str:
    """Brings a database to this release's schema; returns the one before, "" for a new one.

    Inside a transaction that may write. Raises `ConfigError` for a ledger of a newer release.
    """
    _lock_for_tables(connection, location)
    before = schema_of(connection) or ""
    if before and before not in _known():
        require_schema(before, str(location))
    _migrate(connection)
    return before


def schema_of(connection: Connection) -> str | None:
    """The revision that the database is at, None where it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(_VERSION).scalars().first()


def lock(connection: Connection) -> None:
    """Keeps other processes from making, migrating or binding the same ledger, until the transaction ends."""
    # A write transaction of SQLite has its lock from the beginning.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _SCHEMA_LOCK})


def _lock_for_tables(connection: Connection, location: LedgerLocation) -> None:
    """The lock, and the schema of PostgreSQL that the location names, which is made where it is missing."""
    lock(connection)
    if location.schema and location.schema not in inspect(connection).get_schema_names():
        connection.execute(CreateSchema(location.schema))


def _config(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrate(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection), SCHEMA)


def _known() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
