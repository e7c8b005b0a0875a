"""Where operators are told what happens, and of what: the section `notifications`."""

from enum import StrEnum

from pydantic import Field, SecretStr

from retirement.config.values import Block, Channel, Settings


class Occasion(StrEnum):
    """What operators are told of."""

    FAILED = "failed"  #: a run ended as failed
    CRASHED = "crashed"  #: the process of a run is gone
    PAUSED = "paused"  #: a run asks, or has left its question in the ledger
    DEADLINE = "deadline"  #: learners have little time left to their deadline, or none
    BREAKER = "breaker"  #: a service is not called for hours
    RECEIPT = "receipt"  #: a service should have confirmed an erasure by now
    SCHEDULE = "schedule"  #: a scheduled run does not come
    DIGEST = "digest"  #: the page of the day, which is no trouble: a channel has to ask for it


#: What a channel is told of that does not say.
TROUBLES = tuple(each for each in Occasion if each is not Occasion.DIGEST)


class ChannelSettings(Settings):
    """Where operators are told what happens: an address of Apprise, or a block of Prefect."""

    name: Channel = Field(description="What the channel is called in messages and in Prefect, such as `oncall`.")
    url: SecretStr | None = Field(
        default=None, description="Apprise URL, such as `mailtos://…`; it is a secret: `${NAME}`, `file:PATH`."
    )
    block: Block | None = Field(
        default=None, description="A notification block on the Prefect server instead, as `TYPE/NAME`."
    )
    on: tuple[Occasion, ...] | None = Field(
        default=None,
        description="Occasions: `failed`, `crashed`, `paused`, `deadline`, `breaker`, `receipt`, `schedule`, "
        "`digest`; left out: all but `digest`.",
    )
    deadline_days: float = Field(
        default=3, ge=0, le=365, description="`deadline`: at most so many days are left to a learner's deadline."
    )
    breaker_hours: float = Field(
        default=4, ge=0, le=720, description="`breaker`: a service is not called for so many hours."
    )
    schedule_minutes: float = Field(
        default=10, ge=1, le=1440, description="`schedule`: a scheduled run is missing for so many minutes."
    )
    repeat_hours: float = Field(
        default=20, ge=1, le=720, description="A trouble that lasts is told again after so many hours."
    )

    @property
    def occasions(self) -> tuple[Occasion, ...]:
        """What this channel is told of."""
        return self.on or TROUBLES

    def threshold(self, occasion: Occasion) -> float:
        """How much has to be there of a trouble before this channel is told; 0 where it is told of any."""
        given = {
            Occasion.DEADLINE: self.deadline_days,
            Occasion.BREAKER: self.breaker_hours,
            Occasion.SCHEDULE: self.schedule_minutes,
        }
        return given.get(occasion, 0.0)
