"""One learner as an entrypoint of `prefect deploy`; the flow itself is `retirement.flows.retire_learner`."""

from retirement.flows.retire_learner import retire_learner

__all__ = ["retire_learner"]
