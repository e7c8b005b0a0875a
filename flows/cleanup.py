"""The cleanup of LMS rows as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.cleanup`."""

from retirement.flows.cleanup import cleanup

__all__ = ["cleanup"]
