"""The expiry of partner reports as an entrypoint of `prefect deploy`; the flow is `retirement.flows.expire_reports`."""

from retirement.flows.expire_reports import expire_reports

__all__ = ["expire_reports"]
