"""Breakers as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.breaker`."""

from retirement.flows.breaker import breaker

__all__ = ["breaker"]
