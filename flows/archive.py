"""The old entrypoint of the cleanup, for deployments that were made under it; gone in the next release."""

from retirement.flows.cleanup import cleanup as archive

__all__ = ["archive"]
