"""The replay as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.replay`."""

from retirement.flows.replay import replay

__all__ = ["replay"]
