"""Requests for accounts as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.request`."""

from retirement.flows.request import request

__all__ = ["request"]
