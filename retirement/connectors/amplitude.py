"""Amplitude: puts learners into the deletion job of a day, by LMS user id.

Contract of the services, section B3.1: the User Privacy API v1. The newer v2, always for the whole organisation,
is not used, since its description contradicts itself. A request is merged into the job of some later day; the
job runs within 30 days, and up to 5 days later the backups are gone as well, which is when it is `done`. A queued
learner is named by Amplitude ids of Amplitude's own making, so these are what the receipt keeps.

Whose Amplitude ids are whose: the answer is asked to map them to user ids (`include_mapped_user_ids`). Where it
does not, and several learners share the request, each of them is sent again alone. That changes nothing, since
a queued learner stays in the job, and then what the answer names belongs to one learner.

New events make a new user with another Amplitude id, which no job shows: so Amplitude is not asked a second time
after the end, and whatever sends events has to be stopped first (Segment suppresses them).

The vendor's documentation: https://amplitude.com/docs/apis/analytics/user-privacy
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr

from retirement.connectors import (
    BatchSettings,
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Limits,
    Outcome,
    Rate,
    Success,
    Verdict,
    a_list,
    an_object,
    operation,
)
from retirement.connectors.kit.connector import LONGEST_RECEIPT
from retirement.errors import RetirementError, ServiceError
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.auth import basic
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

DELETIONS = "/api/2/deletions/users"
#: A job begins at most so long after the request, and is looked for as long around its day; half a year is allowed.
MONTH = timedelta(days=30)

#: Amplitude ids by the day of their job: the receipt.
Wanted = dict[str, list[int]]
_VERDICTS: Mapping[str | None, Verdict] = {
    "staging": Verdict.WORKING,
    "submitted": Verdict.WORKING,
    "done": Verdict.GONE,
}


@dataclass(frozen=True)
class _Job:
    """The deletions of one day in one project, as far as an answer tells of them."""

    #: Empty only where no user is to be deleted.
    day: str
    status: str
    #: User ids by the Amplitude id; None where it is not said.
    ids: Mapping[int, str | None]
    #: User ids that the project does not know.
    unknown: frozenset[str]

    @classmethod
    def read(cls, job: object) -> "_Job":
        """Raises `ValueError` for what is no job."""
        if not isinstance(job, dict) or not {"day", "invalid_ids"} & job.keys():
            raise ValueError("it names no job")
        ids = dict(map(_entry, _list(job.get("amplitude_ids"))))
        unknown = frozenset(map(str, _list(job.get("invalid_ids"))))
        return cls(_day_of(job, due=bool(ids)), str(job.get("status")).lower(), ids, unknown)

    def ids_of(self, user_id: str, *, alone: bool) -> list[int]:
        """The Amplitude ids of a user; where it was alone in the request, also those for which no user id is said."""
        names = {user_id, None} if alone and user_id not in self.unknown else {user_id}
        return [each for each, name in self.ids.items() if name in names]

    def deletes(self, day: str, amplitude_id: int | None) -> bool:
        """Whether this is the job of an id that was put into the job of that day; None: of the day itself."""
        if amplitude_id is None:
            return self.day == day
        # A job may be put off, and one before it belongs to an earlier request.
        return self.day >= day and amplitude_id in self.ids


class AmplitudeSettings(BatchSettings):
    """What stands below `services.AMPLITUDE`."""

    url: str = Field(default="", description="Base URL, where it is neither the US nor the EU one of Amplitude.")
    region: Literal["us", "eu"] = Field(default="us", description="Where the project's data is kept: `us` or `eu`.")
    api_key: SecretStr = Field(description="API key of the project.")
    secret_key: SecretStr = Field(description="Secret key of the project.")
    org_wide: bool = Field(
        default=False,
        description="Delete in all projects of the organisation, which has to allow it, and not in this one only.",
    )
    requester: str = Field(
        default="user-retirement-pipeline",
        min_length=1,
        description="Who asks, as Amplitude notes it and writes to the administrators of the project.",
    )

    @property
    def base_url(self) -> str:
        european = self.region == "eu"
        return self.url or ("https://analytics.eu.amplitude.com" if european else "https://amplitude.com")


class Amplitude(Connector[AmplitudeSettings]):
    """The product analytics platform Amplitude."""

    service = "AMPLITUDE"
    answers: ClassVar[Mapping[str, Success]] = {
        f"GET {DELETIONS}": an_object() | a_list(),
    }
    limits = Limits(rates={"": Rate(1, 1)})
    reference_keys: ClassVar[Mapping[str, str]] = {
        "amplitude_api_key": "api_key",
        "amplitude_secret_key": "secret_key",
    }

    @classmethod
    def sign_in(cls, service: str, settings: AmplitudeSettings, wiring: Wiring) -> Auth:
        return basic(settings.api_key.get_secret_value(), settings.secret_key)

    @operation(
        Identity.USER_ID,
        route=("POST", DELETIONS),
        batch=100,
        safer_after="SEGMENT.delete_and_suppress_learner",
        asks="is_scrubbed",
        # 30 days until the job, 5 for the backups.
        follow_up=FollowUp(first=timedelta(days=7), every=timedelta(days=1), overdue=timedelta(days=36)),
        success=an_object() | a_list(),
    )
    async def delete_user(self, learners: Sequence[Learner]) -> Sequence[Erasure | RetirementError]:
        """Queue all events and properties of the user whose id is the LMS user id for deletion."""
        jobs = await self._request(learners)
        if len(learners) == 1:
            return [self._erasure(jobs, learners[0], alone=True)]
        return [await self._of_many(jobs, learner) for learner in learners]

    async def _of_many(self, jobs: Sequence[_Job], learner: Learner) -> Erasure | RetirementError:
        """What the jobs of a batch mean for one of its learners, who alone is asked for again where they do not say."""
        told = any(str(learner.user_id) in {*job.ids.values(), *job.unknown} for job in jobs)
        try:
            if told or not any(None in job.ids.values() for job in jobs):
                return self._erasure(jobs, learner)
            return self._erasure(await self._request([learner]), learner, alone=True)
        except ServiceError as error:
            return error  # the others are queued all the same

    async def is_scrubbed(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the jobs that the learner was put into are done, backups included."""
        wanted: Wanted = json.loads(receipt)
        days = list(map(date.fromisoformat, wanted))
        jobs = await self._jobs(min(days) - MONTH, max(days) + MONTH)
        # Jobs of other projects may show with the keys of these only; else the learner was taken out of the job.
        missing = Verdict.WORKING if self.settings.org_wide else Verdict.FAILED
        known = {**_VERDICTS, "": missing, None: missing}
        statuses = set(_statuses(wanted, jobs))
        if not statuses <= known.keys():
            raise self.api.refused(f"GET {DELETIONS}", "a job with an unknown status", 200)
        return Verdict.worst(known[status] for status in statuses)

    async def probe(self, name: str) -> None:
        """Lists the jobs of a day on which Amplitude had none yet."""
        day = date(2012, 1, 1)
        await self._jobs(day, day)

    async def _request(self, learners: Sequence[Learner]) -> list[_Job]:
        body: dict[str, Any] = {
            "user_ids": [str(learner.user_id) for learner in learners],
            "requester": self.settings.requester,
            # Without it one unknown id fails them all. Its documentation spells it both ways.
            "ignore_invalid_id": "true",
            "ignore_invalid_ids": "true",
            "include_mapped_user_ids": "true",
        }
        if self.settings.org_wide:
            body["delete_from_org"] = "True"
        return _jobs_in(await self.api.post(DELETIONS, json=body, judge=_route_exists))

    async def _jobs(self, first: date, last: date) -> list[_Job]:
        params = [("start_day", first.isoformat()), ("end_day", last.isoformat())]
        return _jobs_in(await self.api.get(DELETIONS, params=params, patience=Patience.LOOKUP, judge=_route_exists))

    def _erasure(self, jobs: Sequence[_Job], learner: Learner, *, alone: bool = False) -> Erasure:
        """What the jobs mean for one learner; `alone` in the request, users without a user id are this learner."""
        user_id = str(learner.user_id)
        queued: Wanted = {}
        for job in jobs:
            if ids := job.ids_of(user_id, alone=alone):
                queued.setdefault(job.day, []).extend(ids)
        if queued:
            return Erasure(Outcome.ACCEPTED, _receipt(queued))
        if any(user_id in job.unknown for job in jobs):
            return Erasure(Outcome.ABSENT)
        raise self.api.refused(f"POST {DELETIONS}", "the learner is neither queued nor called unknown", 200)


def _route_exists(reply: Reply) -> None:
    if reply.status == 404:
        # An unknown id is never a 404 here (contract, section E).
        raise reply.misconfigured("no such route: wrong base URL")


def _jobs_in(reply: Reply) -> list[_Job]:
    """One job or a list of them."""
    try:
        return [_Job.read(each) for each in (reply.data if isinstance(reply.data, list) else [reply.data])]
    except ValueError as error:
        raise reply.refused(str(error)) from None


def _receipt(queued: Wanted) -> str:
    """The jobs and the Amplitude ids they delete, as JSON; without the ids where a learner has too many of them."""
    whole = json.dumps({day: sorted(ids) for day, ids in sorted(queued.items())}, separators=(",", ":"))
    return whole if len(whole) <= LONGEST_RECEIPT else json.dumps({day: [] for day in sorted(queued)})


def _statuses(wanted: Wanted, jobs: Sequence[_Job]) -> Iterator[str | None]:
    """The status of every id's job, None for one that no job deletes; that of the day's job, where no id is known."""
    ordered = sorted(jobs, key=lambda job: job.day)
    for day, ids in wanted.items():
        looked_for: Sequence[int | None] = ids or (None,)
        for each in looked_for:
            yield next((job.status for job in ordered if job.deletes(day, each)), None)


def _day_of(job: Mapping[str, Any], *, due: bool) -> str:
    """The day of a job, empty where none is due. Raises `ValueError` for what is no day."""
    day = job.get("day") or ""
    if not _is_day(day) and (day or due):
        raise ValueError("the day of a job is missing")
    return str(day)


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _list(value: object) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    raise ValueError("a list is none")


def _entry(entry: object) -> tuple[int, str | None]:
    """An Amplitude id, and the user id where it is said."""
    found = entry if isinstance(entry, dict) else {}
    amplitude_id, user_id = str(found.get("amplitude_id")), found.get("user_id")
    if not amplitude_id.isdecimal():
        raise ValueError("an Amplitude id is missing")
    return int(amplitude_id), None if user_id is None else str(user_id)
