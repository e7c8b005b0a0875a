"""The bulk update as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.bulk_update`."""

from retirement.flows.bulk_update import bulk_update

__all__ = ["bulk_update"]
