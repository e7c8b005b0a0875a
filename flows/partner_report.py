"""The partner report as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.partner_report`."""

from retirement.flows.partner_report import partner_report

__all__ = ["partner_report"]
