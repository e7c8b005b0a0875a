"""Follow-up of erasures as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.verify_erasure`."""

from retirement.flows.verify_erasure import verify_erasure

__all__ = ["verify_erasure"]
