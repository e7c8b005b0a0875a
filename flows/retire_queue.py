"""The queue run as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.retire_queue`."""

from retirement.flows.retire_queue import retire_queue

__all__ = ["retire_queue"]
