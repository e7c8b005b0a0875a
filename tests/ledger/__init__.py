"""The ledger, on SQLite files and on a PostgreSQL that came with pip."""
