"""What the forms of flows ask for, with descriptions and bounds; Prefect shows them and checks what is given.

Prefect shows the name of a parameter as its title, whatever a field says, and drops a field's description; one
that is a part of the type's JSON schema it keeps.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

#: The largest id that the LMS and the ledger can keep, in 64 bits with a sign.
_LARGEST_ID = 2**63 - 1

#: Why a learner is retired before the cool-off is over: fixed sentences, since Prefect keeps a parameter for good.
Reason = Literal["the learner asks for it", "an authority asks for it", "the account is a test account"]


@dataclass(frozen=True, slots=True)
class Described:
    """The description of a type in its JSON schema."""

    text: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "description": self.text}


UserId = Annotated[
    Annotated[int, Field(ge=1, le=_LARGEST_ID)] | None,
    Described("LMS user id of the learner. Default: a form on the run's page asks for it, or for a name."),
]
OneUserId = Annotated[
    Annotated[int, Field(ge=1, le=_LARGEST_ID)] | None,
    Described("LMS user id of one learner. Default: every learner that the other fields mean."),
]
HeldUserId = Annotated[
    Annotated[int, Field(ge=1, le=_LARGEST_ID)] | None,
    Described("LMS user id of the learner to keep. Default: the learners of `org`; give one of them."),
]
UserIds = Annotated[
    Annotated[tuple[Annotated[int, Field(ge=1, le=_LARGEST_ID)], ...], Field(max_length=10_000)],
    Described("LMS user ids of the accounts."),
]
RestoredServices = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[\w.-]+$")], ...],
    Described("Services that were restored from a backup, by their names in the configuration."),
]
BackupMoment = Annotated[datetime | None, Described("Moment of the backup; in UTC unless it has a zone.")]
RestoreMoment = Annotated[
    datetime | None,
    Described("Moment of the restore. Default: now, or as in the run before about the same backup."),
]
AddedStep = Annotated[
    Annotated[str, Field(pattern=r"^[\w.-]+$")] | None,
    Described("Step of the pipeline that was added, such as RETIRING_BRAZE."),
]
StepName = Annotated[
    Annotated[str, Field(pattern=r"^[\w.-]+$")] | None,
    Described("Learners whose last failure was in this step, such as RETIRING_CREDENTIALS."),
]
ErrorName = Annotated[
    Annotated[str, Field(pattern=r"^\w+$")] | None,
    Described("Learners whose last failure was of this class, such as Refused."),
]
Service = Annotated[str, Field(pattern=r"^[\w.-]+$"), Described("Service, by its name in the configuration.")]
SomeService = Annotated[
    Annotated[str, Field(pattern=r"^[\w.-]+$")] | None,
    Described("Keep only the data in this service. Default: all services."),
]
Org = Annotated[
    Annotated[str, Field(pattern=r"^[^@%\s]+$")] | None,
    Described("Every learner enrolled in courses of this organisation, instead of one learner."),
]
Until = Annotated[date | None, Described("Last day of the hold, in UTC.")]
HoldNumber = Annotated[
    Annotated[int, Field(ge=1)] | None,
    Described("Number of a hold to end instead of placing one."),
]
Open = Annotated[bool, Described("On: stop calling the service. Off: call it again.")]
Most = Annotated[Annotated[int, Field(ge=1, le=10_000)], Described("Learners at most, oldest request first.")]
AtMost = Annotated[
    Annotated[int, Field(ge=1, le=100_000)], Described("Where more learners are meant, nothing is done.")
]
InitialState = Annotated[
    Annotated[str, Field(pattern=r"^\w{1,30}$")], Described("State of the LMS in which the rows are now.")
]
NewState = Annotated[
    Annotated[str, Field(pattern=r"^\w{1,30}$")] | None,
    Described("State to move them to. Default: each row back to the last end state that is proved."),
]
FirstDay = Annotated[date | None, Described("First day of the requests, in UTC. Default: any.")]
LastDay = Annotated[date | None, Described("Last day of the requests, in UTC, included. Default: today.")]
PastUnproved = Annotated[bool, Described("On: also past steps that no run has proved.")]
Preview = Annotated[bool, Described("On: show what would be done, and do nothing. Off: do it.")]
AskFirst = Annotated[
    bool,
    Described("On: the run shows the learner in a form and begins when you confirm. Off: it begins at once."),
]
BeforeCoolOff = Annotated[
    Reason | None,
    Described("Why the learner is retired although the cool-off goes on. Without a reason the run refuses."),
]
Limit = Annotated[
    Annotated[int, Field(ge=1)] | None,
    Described("Learners to retire at most, least time left first. Default: queue.limit of the configuration."),
]
CoolOffDays = Annotated[
    Annotated[int, Field(ge=0)] | None,
    Described("Days since the request. Default: cool_off_days of the configuration."),
]
DryRun = Annotated[
    bool | None,
    Described("On: show what would be deleted. Default: on, but off in a scheduled run."),
]
Send = Annotated[bool, Described("On: also send the page to the channels with the occasion `digest`.")]
MonthName = Annotated[
    Annotated[str, Field(pattern=r"^[2-9]\d{3}-(0[1-9]|1[0-2])$")] | None,
    Described("Month whose page is written instead, as YYYY-MM. Default: the day; and the month before, once."),
]
Every = Annotated[bool, Described("On: ask about all open receipts, due or not.")]
