"""Holds as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.hold`."""

from retirement.flows.hold import hold

__all__ = ["hold"]
