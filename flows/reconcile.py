"""The reconciler as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.reconcile`."""

from retirement.flows.reconcile import reconcile

__all__ = ["reconcile"]
