"""Braze: profiles by LMS user id.

Contract of the services, section B2. The answer counts what was queued, and an unknown id only lowers the
count: 0 means that no id is known, or that profiles are kept under another kind of id. Deletion runs within
minutes; whether it has, the export says. Events sent later make a new profile, so it is asked once more.

The vendor's documentation: https://www.braze.com/docs/api/endpoints/user_data/post_user_delete/
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

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
    an_object,
    operation,
)
from retirement.learner import Learner
from retirement.wire.api import Auth
from retirement.wire.auth import bearer
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.wiring import Wiring

_INSTANCE = re.compile(r"[a-z]+-\d\d", re.ASCII)
DELETE, EXPORT = "/users/delete", "/users/export/ids"


class BrazeSettings(BatchSettings):
    """What stands below `services.BRAZE`."""

    url: str = Field(default="", description="Whole URL of the REST endpoint, where `instance` does not say it.")
    instance: str | None = Field(
        default=None,
        description="Instance, such as `iad-06` or, in the European Union, `fra-01`.",
    )
    api_key: SecretStr = Field(description="REST API key with `users.delete` and `users.export.ids`.")

    @field_validator("instance")
    @classmethod
    def _is_an_instance(cls, instance: str | None) -> str | None:
        if instance is not None and not _INSTANCE.fullmatch(instance):
            raise ValueError("is the name of the instance alone: of https://rest.iad-06.braze.com it is iad-06")
        return instance

    @model_validator(mode="after")
    def _has_a_host(self) -> Self:
        if not self.url and not self.instance:
            raise ValueError("needs instance, such as `fra-01`, or url")
        return self

    @property
    def base_url(self) -> str:
        domain = "eu" if (self.instance or "").startswith("fra-") else "com"
        return self.url or f"https://rest.{self.instance}.braze.{domain}"


class Braze(Connector[BrazeSettings]):
    """The customer engagement platform Braze."""

    service = "BRAZE"
    answers: ClassVar[Mapping[str, Success]] = {
        f"POST {EXPORT}": an_object("users", "message", statuses=(200, 201)),
    }
    #: The newest accounts may export 250 times a minute; deletions share 20,000 a minute with other calls.
    limits = Limits(rates={f"POST {DELETE}": Rate(20_000, 60), f"POST {EXPORT}": Rate(250, 60)})
    reference_keys: ClassVar[Mapping[str, str]] = {"braze_api_key": "api_key", "braze_instance": "instance"}

    @classmethod
    def sign_in(cls, service: str, settings: BrazeSettings, wiring: Wiring) -> Auth:
        return bearer(settings.api_key)

    @operation(
        Identity.USER_ID,
        route=("POST", DELETE),
        batch=50,
        safer_after="SEGMENT.delete_and_suppress_learner",
        asks="is_exported",
        follow_up=FollowUp(
            first=timedelta(minutes=15), every=timedelta(hours=1), overdue=timedelta(days=2), again=timedelta(days=14)
        ),
        success=an_object("deleted", "message", statuses=(200, 201, 202)),
    )
    async def delete_user(self, learners: Sequence[Learner]) -> Sequence[Erasure]:
        """Delete the profile whose external id is the LMS user id."""
        ids = [str(learner.user_id) for learner in learners]
        reply = await self.api.post(DELETE, json={"external_ids": ids}, judge=_says_success)
        if reply.member("deleted", int, "the count of deleted profiles") == 0:
            return [Erasure(Outcome.ABSENT) for _ in ids]
        # Which of several it knows it does not say; the export does.
        return [Erasure(Outcome.ACCEPTED, each) for each in ids]

    async def is_exported(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the export still finds the profile."""
        reply = await self._export([receipt])
        return Verdict.PRESENT if reply.member("users", list, "the list of users") else Verdict.GONE

    async def probe(self, name: str) -> None:
        """Exports a profile that no learner has: LMS user ids begin at 1."""
        await self._export(["0"])

    async def _export(self, ids: Sequence[str]) -> Reply:
        body = {"external_ids": list(ids), "fields_to_export": ["external_id"]}
        return await self.api.post(EXPORT, json=body, patience=Patience.LOOKUP, judge=_says_success)


def _says_success(reply: Reply) -> None:
    if reply.status == 404:
        # Unknown ids are no error here (contract, section E).
        raise reply.misconfigured("no such route, or the key may not use it")
    said = reply.mapping
    if reply.ok and reply.kind == "json" and (said.get("message") != "success" or said.get("errors")):
        raise reply.refused("the answer reports a failure")
