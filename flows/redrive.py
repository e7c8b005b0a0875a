"""Redrive of ERRORED learners as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.redrive`."""

from retirement.flows.redrive import redrive

__all__ = ["redrive"]
