"""The configured steps, where the LMS row may stand, what is proved, and how a run may end. Pure."""

from retirement.pipeline.steps import (
    ABORTED,
    ACCOUNT_STEP,
    COMPLETE,
    DEAD_ENDS,
    ERRORED,
    PENDING,
    REQUIRED_STATES,
    STATE_NAME_LENGTH,
    Pipeline,
    Step,
    problems,
)
from retirement.pipeline.watermark import Moves, Watermark

__all__ = [
    "ABORTED",
    "ACCOUNT_STEP",
    "COMPLETE",
    "DEAD_ENDS",
    "ERRORED",
    "PENDING",
    "REQUIRED_STATES",
    "STATE_NAME_LENGTH",
    "Moves",
    "Pipeline",
    "Step",
    "Watermark",
    "problems",
]
