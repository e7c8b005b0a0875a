"""Braze: profiles by LMS user id.

Contract of the services, section B2. The answer counts what was queued, and an unknown id only lowers the
count: 0 means that nobody is known, or that profiles are kept under another kind of id. Deletion runs within
minutes; whether it has, the export says. Events sent later make a new profile, so it is asked once more.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from retirement.auth import bearer
from retirement.connectors import (
    BatchSettings,
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Limits,
    Outcome,
    Rate,
    Verdict,
    operation,
)
from retirement.errors import Misconfigured, Refused
from retirement.http import Auth, Judge, Patience, Reply
from retirement.learner import Learner
from retirement.wiring import Wiring

DELETE, EXPORT = "/users/delete", "/users/export/ids"


class Braze(Connector):
    """The customer engagement platform Braze."""

    service = "BRAZE"
    #: The newest accounts may export 250 times a minute; deletions share 20,000 a minute with other calls.
    limits = Limits(rates={f"POST {DELETE}": Rate(20_000, 60), f"POST {EXPORT}": Rate(250, 60)})
    reference_keys: ClassVar[Mapping[str, str]] = {"braze_api_key": "api_key", "braze_instance": "instance"}

    class Settings(BatchSettings):
        url: str = Field(default="", description="Whole URL of the REST endpoint, where `instance` does not say it.")
        instance: str | None = Field(
            default=None,
            pattern=r"^[a-z]+-\d\d$",
            description="Instance, such as `iad-06` or, in the European Union, `fra-01`.",
        )
        api_key: SecretStr = Field(description="REST API key with `users.delete` and `users.export.ids`.")

        @model_validator(mode="after")
        def _has_a_host(self) -> Self:
            if not self.url and not self.instance:
                raise ValueError("needs instance, such as `fra-01`, or url")
            return self

        @property
        def base_url(self) -> str:
            domain = "eu" if (self.instance or "").startswith("fra-") else "com"
            return self.url or f"https://rest.{self.instance}.braze.{domain}"

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:
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
    )
    async def delete_user(self, learners: Sequence[Learner]) -> Sequence[Erasure]:
        """Delete the profile whose external id is the LMS user id."""
        ids = [str(learner.user_id) for learner in learners]
        reply = await self.api.post(DELETE, json={"external_ids": ids}, judge=self._says_success(DELETE))
        queued = reply.data.get("deleted") if isinstance(reply.data, dict) else None
        if not isinstance(queued, int) or isinstance(queued, bool):
            raise Refused(self.api.service, f"POST {DELETE}", reply.status, "the count of deleted profiles is missing")
        if queued == 0:
            return [Erasure(Outcome.ABSENT) for _ in ids]
        # Which of several it knows it does not say; the export does.
        return [Erasure(Outcome.ACCEPTED, each) for each in ids]

    async def is_exported(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the export still finds the profile."""
        reply = await self._export([receipt])
        users = reply.data.get("users") if isinstance(reply.data, dict) else None
        if not isinstance(users, list):
            raise Refused(self.api.service, f"POST {EXPORT}", reply.status, "the list of users is missing")
        return Verdict.PRESENT if users else Verdict.GONE

    async def probe(self, name: str) -> None:
        """Exports a profile that nobody has: LMS user ids begin at 1."""
        await self._export(["0"])

    async def _export(self, ids: Sequence[str]) -> Reply:
        body = {"external_ids": list(ids), "fields_to_export": ["external_id"]}
        return await self.api.post(EXPORT, json=body, patience=Patience.LOOKUP, judge=self._says_success(EXPORT))

    def _says_success(self, path: str) -> Judge:
        request = f"POST {path}"

        def judge(reply: Reply) -> None:
            if reply.status == 404:
                # Unknown ids are no error here (contract, section E).
                raise Misconfigured(self.api.service, request, 404, "no such route, or the key may not use it")
            said = reply.data if isinstance(reply.data, dict) else {}
            if (
                200 <= reply.status < 300
                and reply.kind == "json"
                and (said.get("message") != "success" or said.get("errors"))
            ):
                raise Refused(self.api.service, request, reply.status, "the answer reports a failure")

        return judge
