"""The settings that a configuration file gives, typed; their descriptions are the operator's manual."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pydantic import Field, SecretStr

from retirement.config.buckets import ArchiveSettings
from retirement.config.channels import ChannelSettings
from retirement.config.cron import Timed, timed
from retirement.config.door import DoorSettings
from retirement.config.ledger import LedgerSettings
from retirement.config.partners import PartnerSettings
from retirement.config.values import (
    AUTO,
    Address,
    AtOnce,
    Country,
    Days,
    Domain,
    MachinePath,
    Settings,
    State,
    Text,
    UserId,
)
from retirement.connectors import Connector, ServiceSettings
from retirement.pipeline import Moves, Pipeline

#: What runs on a schedule, by the name of its deployment, and the key whose value is its cron line.
SCHEDULED = {
    "queue": "schedule",
    "reconcile": "reconcile_schedule",
    "verify": "verify_schedule",
    "cleanup": "cleanup_schedule",
    "expire-reports": "expire_schedule",
    "expire-texts": "expire_texts_schedule",
    "digest": "digest_schedule",
}
#: Keys whose values are cron lines.
SCHEDULES = tuple(SCHEDULED.values())


class LmsSettings(Settings):
    """Where the LMS is and who we are to it."""

    url: Text = Field(description="Base URL of the LMS.")
    client_id: Text = Field(description="OAuth client of the retirement worker, as `create_dot_application` prints it.")
    client_secret: SecretStr = Field(description="Secret of that client: `${NAME}`, `file:PATH` or `block:NAME`.")
    allow_insecure: bool = Field(
        default=False, description="Permit an http:// address that is not on this machine. For closed networks only."
    )
    states: tuple[State, ...] | None = Field(
        default=None,
        description="The site's `RETIREMENT_STATES`, to check the pipeline against them, and to find rows in states "
        "that no step has.",
    )
    moves: Moves = Field(
        default=Moves.EACH,
        description="`each`: into each step's start state and out of it; `merged`: from one start state to the next.",
    )


class QueueSettings(Settings):
    """How much one run takes on."""

    limit: int = Field(default=200, ge=1, le=100_000, description="Most learners that one run retires.")
    threshold: int = Field(
        default=300, ge=1, le=1_000_000, description="Depth of the whole queue above which a run calls no service."
    )
    at_once: AtOnce = Field(
        default=20,
        description="Learners that are retired at the same time; `auto`: as many as the services keep up with.",
    )
    at_once_most: int = Field(
        default=32, ge=1, le=1_000, description="Most learners at the same time with `queue.at_once: auto`."
    )

    @property
    def most_at_once(self) -> int:
        """The largest number of learners at the same time."""
        return self.at_once_most if self.at_once == AUTO else self.at_once


class RetrySettings(Settings):
    """How long to try again before a learner is parked."""

    attempts: int = Field(default=4, ge=1, le=20, description="Tries within one call.")
    seconds: float = Field(default=45, ge=0, le=600, description="Longest time for the tries of one call.")
    task_retries: int = Field(default=2, ge=0, le=20, description="How often the engine repeats a step after that.")
    task_delay_seconds: float = Field(default=60, ge=0, le=3600, description="Wait between those repeats.")


class EngineEvents(StrEnum):
    """Which events the feed of Prefect's server keeps, where we start that server."""

    RUNS = "runs"  #: what becomes of runs, what automations and people do
    ALL = "all"  #: each state of each step, and each artifact, as well


class EngineSettings(Settings):
    """Prefect's server, where we start it."""

    keep_minutes: int = Field(
        default=0, ge=0, le=240, description="Minutes that it stays up after a command, for the next one; 0: none."
    )


class GuardSettings(Settings):
    """When a queue is so unusual that a person has to agree; its depth is `queue.threshold`."""

    factor: float = Field(
        default=5, ge=1, le=1_000, description="How many times the usual daily number of the last 28 days is too many."
    )
    floor: int = Field(default=50, ge=0, le=1_000_000, description="So many learners who wait are never too many.")
    domain_floor: int = Field(
        default=25, ge=0, le=1_000_000, description="So many learners of one e-mail domain are never too many."
    )
    domain_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of those waiting up to which one e-mail domain is never too much."
    )
    staff_ids: tuple[UserId, ...] = Field(default=(), description="LMS user ids of the site's own people.")
    staff_domains: tuple[Domain, ...] = Field(
        default=(), description="E-mail domains of the site's own people; subdomains are named by themselves."
    )
    wait_hours: float = Field(
        default=12,
        ge=0,
        le=720,
        description="How long a question can be answered; 0: no person is asked, the guard stops the run.",
    )
    answer_hours: float = Field(
        default=48,
        ge=1,
        le=720,
        description="How long an answer counts for a later run, where the run that asked has ended meanwhile.",
    )
    second_person_above: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="An approval of more learners than this needs two different people; none: one is enough.",
    )
    second_person_for_holds: bool = Field(
        default=False, description="Ending a hold before its day needs two different people, within `answer_hours`."
    )

    def needs_second_person(self, at_most: int | None) -> bool:
        """Whether a yes to so many learners needs that of another person; None: to all of them."""
        return self.second_person_above is not None and (at_most is None or at_most > self.second_person_above)

    @property
    def two_for_holds(self) -> timedelta | None:
        """How long the first of two yeses to end a hold counts, None where one person is enough."""
        return timedelta(hours=self.answer_hours) if self.second_person_for_holds else None


class BreakerSettings(Settings):
    """When a service counts as down, and how soon it is tried again."""

    learners: int = Field(
        default=3,
        ge=1,
        le=1_000,
        description="So many different learners in a row fail at a service before it is left alone.",
    )
    seconds: float = Field(default=300, ge=1, le=86_400, description="Wait until it is tried again; doubled each time.")
    longest_seconds: float = Field(default=3600, ge=1, le=604_800, description="Longest such wait.")
    nights: int = Field(
        default=5,
        ge=2,
        le=365,
        description="A learner whom a service fails on so many nights on which other learners pass is ERRORED.",
    )


class DatabaseSettings(Settings):
    """Databases of the site in which `retirement residue` may look, best as a user that can only read."""

    lms: SecretStr | None = Field(
        default=None, description="Database of the LMS, `mysql://USER:PASSWORD@HOST/DATABASE`, to look for residue."
    )
    credentials: SecretStr | None = Field(
        default=None, description="Database of credentials, in the same form, to look for residue."
    )
    license_manager: SecretStr | None = Field(
        default=None, description="Database of license-manager, in the same form, to look for residue."
    )
    ecommerce: SecretStr | None = Field(
        default=None, description="Database of ecommerce, in the same form, to look for residue."
    )
    discovery: SecretStr | None = Field(
        default=None, description="Database of course-discovery, in the same form, to look for residue."
    )
    enterprise_access: SecretStr | None = Field(
        default=None, description="Database of enterprise-access, in the same form, to look for residue."
    )

    def given(self) -> dict[str, str]:
        """The addresses of those that are given, by the catalogue's name of the database. They are secrets."""
        found = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: url.get_secret_value() for name, url in found if url is not None}


class GeneralSettings(Settings):
    """What stands at the top level of our own dialect beside the sections."""

    cool_off_days: int = Field(
        default=7, ge=0, le=365, description="Days that a request waits, in which the learner may take it back."
    )
    deadline_days: int = Field(
        default=30, ge=1, le=365, description="Days from the request in which a retirement has to be complete."
    )
    deadline_days_by_country: dict[Country, Days] = Field(
        default_factory=dict,
        description="Other deadlines by the country of the learner's profile, such as `{US: 45}`.",
    )
    lease_seconds: int = Field(
        default=120, ge=15, le=3600, description="How long a run that died keeps its learners from others."
    )
    schedule: Text | None = Field(default=None, description="Cron line of the nightly run; none: no schedule.")
    reconcile_schedule: Text | None = Field(
        default="7 * * * *",
        description="Cron line by which `serve` gives back what dead runs left; null: only queue runs do.",
    )
    verify_schedule: Text | None = Field(
        default="37 * * * *",
        description="Cron line by which `serve` asks services whether they have erased; null: only `verify` does.",
    )
    cleanup_days: int = Field(
        default=30,
        ge=0,
        le=3650,
        description="Days that a learner is COMPLETE before `cleanup` has the LMS delete the row.",
    )
    cleanup_schedule: Text | None = Field(
        default=None, description="Cron line by which `serve` cleans up; none: only `retirement cleanup` does."
    )
    digest_schedule: Text | None = Field(
        default=None,
        description="Cron line by which `serve` writes the page of the day and sends it to the channels with the "
        "occasion `digest`; none: only `retirement digest` does.",
    )
    engine_retention_days: int | None = Field(
        default=90, ge=1, le=3650, description="Days that our Prefect server keeps a run which ended; null: for ever."
    )
    engine_events: EngineEvents = Field(
        default=EngineEvents.RUNS,
        description="What the *Event Feed* of our Prefect server keeps: `runs`: what becomes of runs, and what "
        "automations and people do; `all`: each state of each step, and each artifact, as well, for three times the "
        "space.",
    )
    expire_schedule: Text | None = Field(
        default=None,
        description="Cron line by which `serve` deletes delivered partner reports; none: only `retirement "
        "expire-reports` does.",
    )
    expire_texts_schedule: Text | None = Field(
        default=None,
        description="Cron line by which `serve` takes old texts out of the ledger; none: only `retirement ledger "
        "expire-texts` does.",
    )
    partner_reports: MachinePath | None = Field(
        default=None,
        description="Folder for the files of `partner-report`, which name learners: close it to all others; none: "
        "only the command writes them, into the folder of its `--output`.",
    )
    username_replacements: MachinePath | None = Field(
        default=None,
        description="Folder for the files of `replace-usernames`, which hold usernames: close it to all others; none: "
        "only the command works on files, and writes its results into the folder of its `--output`.",
    )
    timezone: Text | None = Field(
        default=None,
        description="Time zone in which cron lines are read, such as `Europe/Madrid`; `CRON_TZ=ZONE` before a line "
        "gives it one of its own; none: UTC.",
    )
    ui_url: Address | None = Field(
        default=None,
        description="Address of Prefect's UI for the links of notifications; none: that of the server itself.",
    )


class StepSettings(Settings):
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
    deadline_days_by_country: Mapping[str, int]
    lease_seconds: int
    ledger: LedgerSettings
    queue: QueueSettings
    guard: GuardSettings
    retry: RetrySettings
    breaker: BreakerSettings
    engine: EngineSettings
    databases: DatabaseSettings
    schedule: str | None
    reconcile_schedule: str | None
    verify_schedule: str | None
    cleanup_days: int
    cleanup_schedule: str | None
    expire_schedule: str | None
    expire_texts_schedule: str | None
    digest_schedule: str | None
    engine_retention_days: int | None
    engine_events: EngineEvents
    partner_reports: str | None
    username_replacements: str | None
    timezone: str | None
    ui_url: str | None
    notifications: tuple[ChannelSettings, ...]
    #: None: no door, nothing listens beside Prefect's server.
    door: DoorSettings | None
    partners: PartnerSettings
    #: None: who the learners were is written nowhere.
    archive: ArchiveSettings | None
    services: Mapping[str, ServiceSettings]
    connectors: Mapping[str, type[Connector]]
    pipeline: Pipeline
    warnings: tuple[str, ...]
    #: Keys of our dialect for which a predecessor's file has no value, so that the most careful one is taken.
    unsaid: tuple[str, ...] = ()

    @property
    def schedules(self) -> dict[str, Timed]:
        """The schedules that there are, by key."""
        lines = {name: getattr(self, name) for name in SCHEDULES}
        return {name: timed(line, self.timezone) for name, line in lines.items() if line}

    @property
    def shortest_deadline_days(self) -> int:
        """The deadline of those who have the least time."""
        return min([self.deadline_days, *self.deadline_days_by_country.values()])
