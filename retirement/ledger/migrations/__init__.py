"""The versions of the ledger's schema, for alembic; `retirement.ledger.schema` runs them."""
