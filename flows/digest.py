"""The page of the day as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.digest`."""

from retirement.flows.digest import digest

__all__ = ["digest"]
