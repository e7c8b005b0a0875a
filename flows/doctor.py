"""The doctor as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.doctor`."""

from retirement.flows.doctor import doctor

__all__ = ["doctor"]
