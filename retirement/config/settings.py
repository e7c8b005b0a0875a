"""The settings that a configuration file gives, typed; their descriptions are the operator's manual."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from retirement.connectors import Connector, ServiceSettings
from retirement.pipeline import Pipeline

TEXT = r"^\S(?:.*\S)?$"
#: States stand in URLs and logs.
STATE = r"^[\w.-]+$"

State = Annotated[str, StringConstraints(min_length=1, pattern=STATE)]
Text = Annotated[str, StringConstraints(min_length=1, pattern=TEXT)]


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False, validate_default=True
    )


class LmsSettings(_Settings):
    """Where the LMS is and who we are to it."""

    url: Text = Field(description="Base URL of the LMS.")
    client_id: Text = Field(description="OAuth client of the retirement worker, as `create_dot_application` prints it.")
    client_secret: SecretStr = Field(description="Secret of that client: `${NAME}`, `file:PATH` or `block:NAME`.")
    allow_insecure: bool = Field(
        default=False, description="Permit an http:// address that is not on this machine. For closed networks only."
    )
    states: tuple[State, ...] | None = Field(
        default=None, description="The site's `RETIREMENT_STATES`, to check the pipeline against them."
    )


class QueueSettings(_Settings):
    """How much one run takes on."""

    limit: int = Field(default=200, ge=1, le=100_000, description="Most learners that one run retires.")
    threshold: int = Field(
        default=300, ge=1, le=1_000_000, description="Depth of the whole queue above which a run calls nobody."
    )
    at_once: int = Field(default=20, ge=1, le=1_000, description="Learners that are retired at the same time.")


class RetrySettings(_Settings):
    """How long to try again before a learner is parked."""

    attempts: int = Field(default=4, ge=1, le=20, description="Tries within one call.")
    seconds: float = Field(default=45, ge=0, le=600, description="Longest time for the tries of one call.")
    task_retries: int = Field(default=2, ge=0, le=20, description="How often the engine repeats a step after that.")
    task_delay_seconds: float = Field(default=60, ge=0, le=3600, description="Wait between those repeats.")


class GeneralSettings(_Settings):
    """What stands at the top level of our own dialect beside the sections."""

    cool_off_days: int = Field(
        default=7, ge=0, le=365, description="Days that a request waits, in which the learner may take it back."
    )
    deadline_days: int = Field(
        default=30, ge=1, le=365, description="Days from the request in which a retirement has to be complete."
    )
    schedule: Text | None = Field(default=None, description="Cron line of the nightly run; none: no schedule.")


class StepSettings(_Settings):
    """One step of the pipeline; it is named by its start state."""

    start: State = Field(description="LMS state while the step runs; the name of the step.")
    end: State = Field(description="LMS state when the step is done.")
    service: Text = Field(description="Service that the step calls.")
    operation: Text = Field(description="What it does there.")
    after: tuple[Text, ...] | None = Field(
        default=None, description="Steps that have to end before this one; left out: the one written before it."
    )


@dataclass(frozen=True)
class Configuration:
    """One file, checked: what to do, where, and when. Neither `repr` nor `describe` shows a secret."""

    source: str
    dialect: str
    lms: LmsSettings
    cool_off_days: int
    deadline_days: int
    queue: QueueSettings
    retry: RetrySettings
    schedule: str | None
    services: Mapping[str, ServiceSettings]
    connectors: Mapping[str, type[Connector]]
    pipeline: Pipeline
    warnings: tuple[str, ...]
