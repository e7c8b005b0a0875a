"""The backfill as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.backfill`."""

from retirement.flows.backfill import backfill

__all__ = ["backfill"]
