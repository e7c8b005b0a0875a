"""Segment: deletes what it holds of a learner, forwards the deletion, and takes no new events of them.

Contract of the services, sections A1.2 and B1. Two APIs make the same regulation: the Public API, and the old
Config API, whose tokens are no longer given out, which serves the US only, and whose status resource nobody has
described (its names are read in both spellings). A regulation runs for up to 30 days and is shown for 90. Its
overall status also fails for destinations that cannot delete at all, so the statuses of destinations decide.
Segment knows a learner by LMS user id, by username and, on sites with ecommerce, by a tracking id of that service.
Suppression outlives the deletion for good: nothing that is sent later brings the learner back.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self, cast
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from retirement.auth import bearer
from retirement.connectors import (
    BatchSettings,
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Limits,
    Operation,
    Outcome,
    Rate,
    Route,
    ServiceSettings,
    Verdict,
    operation,
)
from retirement.connectors.regulations import verdict_of
from retirement.errors import Misconfigured, Refused
from retirement.http import Api, Judge, Patience, Reply
from retirement.learner import Learner
from retirement.wiring import Wiring

PUBLIC = "/regulations"
WORKSPACE = "/v1beta/workspaces/{workspace}"
CONFIG = WORKSPACE + "/regulations"
TRACKING_ID = "/api/v2/retirement/tracking_id/{username}/"

#: One call takes 5,000 ids, and a learner has up to three.
LEARNERS_A_CALL = 5_000 // 3
#: The service that knows the tracking id.
ECOMMERCE = "ECOMMERCE"
#: Words that broken senders put where an id is missing: as ids they belong to many people.
NOBODYS = frozenset({"none", "null", "undefined"})


_HOSTS = {
    ("public", "us"): "https://api.segmentapis.com",
    ("public", "eu"): "https://eu1.api.segmentapis.com",
    ("config", "us"): "https://platform.segmentapis.com",
}
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class Segment(Connector):
    """The customer data platform Twilio Segment."""

    service = "SEGMENT"
    #: The documented rate of the Config API; that of the Public API is not documented, and not lower.
    limits = Limits(rates={"": Rate(200, 60)})
    reference_keys: ClassVar[Mapping[str, str]] = {
        "segment_auth_token": "token",
        "segment_workspace_slug": "workspace_slug",
    }

    class Settings(BatchSettings):
        url: str = Field(default="", description="Base URL, where it is neither the US nor the EU one of Segment.")
        api: Literal["public", "config"] = Field(
            default="public",
            description="`public`, or the deprecated `config`; with `workspace_slug` alone it is `config`.",
        )
        region: Literal["us", "eu"] = Field(default="us", description="Region of the workspace: `us` or `eu`.")
        workspace_slug: str | None = Field(default=None, description="Slug of the workspace, for the Config API.")
        token: SecretStr = Field(
            description="Token of a Workspace Owner for the Public API, or a workspace access token for the Config API."
        )
        ecommerce_url: str | None = Field(
            default=None,
            description="Base URL of ecommerce, where learners may be known by their tracking ids as well.",
        )

        numeric_usernames: bool = Field(
            default=False,
            description="Send usernames that are numbers, as the reference does, although each could be another "
            "learner's LMS user id: only where Segment knows nobody by user id.",
        )

        @model_validator(mode="before")
        @classmethod
        def _api_of_the_slug(cls, data: Any) -> Any:
            # The reference's configuration has a slug and knows the Config API only.
            if isinstance(data, dict) and data.get("workspace_slug") and data.get("api") is None:
                return data | {"api": "config"}
            return data

        @model_validator(mode="after")
        def _fits_together(self) -> Self:
            if self.api == "config" and not self.workspace_slug:
                raise ValueError("needs workspace_slug for the Config API, or api: public")
            if self.api == "config" and self.region == "eu" and not self.url:
                raise ValueError("the Config API serves the US only; use api: public with a Public API token")
            if self.ecommerce_url is not None and not _is_address(self.ecommerce_url, self.allow_insecure):
                raise ValueError("ecommerce_url must be https://HOST[:PORT][/PATH]: the worker's token goes there")
            return self

        @property
        def base_url(self) -> str:
            return self.url or _HOSTS[self.api, self.region]

    def __init__(self, settings: ServiceSettings, api: Api, ecommerce: Api | None = None) -> None:
        super().__init__(settings, api)
        self._own = cast(Segment.Settings, settings)
        self._ecommerce = ecommerce
        #: Tracking ids of learners whose operation is under way, by user id.
        self._tracking_ids: dict[int, str] = {}

    @classmethod
    def connected(cls, service: str, settings: ServiceSettings, wiring: Wiring) -> Self:
        own = cast(Segment.Settings, settings)
        api = wiring.api(service, own.base_url, auth=bearer(own.token), limits=cls.limits)
        ecommerce = wiring.api(ECOMMERCE, own.ecommerce_url, auth=wiring.jwt) if own.ecommerce_url else None
        return cls(settings, api, ecommerce)

    @classmethod
    def declared(cls, settings: ServiceSettings | None) -> dict[str, Operation]:
        operations = super().declared(settings)
        if settings is None or not cast(Segment.Settings, settings).ecommerce_url:
            return operations
        return {name: replace(each, looks_up_in=ECOMMERCE) for name, each in operations.items()}

    def route(self, name: str) -> Route | None:
        if self._own.api == "config":
            return Route("POST", CONFIG, {"workspace": self._own.workspace_slug})
        return super().route(name)

    async def perform(self, name: str, learner: Learner) -> Erasure:
        """As every connector, after the look-up: one that fails concerns that learner alone, not their batch."""
        if learner.username.casefold() in NOBODYS:
            # What it would delete and suppress for good is what broken senders sent of many people.
            raise Refused(self.api.service, f"POST {self._regulations}", None, "a username that stands for none")
        if self._could_be_an_id(learner):
            why = "a username that could be another learner's id: see `numeric_usernames`"
            raise Refused(self.api.service, f"POST {self._regulations}", None, why)
        if tracking_id := await self._tracking_id(learner):
            self._tracking_ids[learner.user_id] = tracking_id
        try:
            return await super().perform(name, learner)
        finally:
            self._tracking_ids.pop(learner.user_id, None)

    @operation(
        Identity.USER_ID,
        Identity.USERNAME,
        route=("POST", PUBLIC),
        batch=LEARNERS_A_CALL,
        asks="is_regulated",
        follow_up=FollowUp(first=timedelta(days=1), every=timedelta(days=1), overdue=timedelta(days=31)),
    )
    async def delete_and_suppress_learner(self, learners: Sequence[Learner]) -> Sequence[Erasure]:
        """Delete what Segment and its destinations hold of the learner, and take no more of it."""
        ids = list(dict.fromkeys(each for learner in learners for each in self._identities(learner)))
        if self._own.api == "config":
            attributes = {"name": "userId", "values": ids}
            body: dict[str, Any] = {"regulation_type": "Suppress_With_Delete", "attributes": attributes}
        else:
            body = {"regulationType": "SUPPRESS_WITH_DELETE", "subjectType": "USER_ID", "subjectIds": ids}
        values = {"workspace": self._own.workspace_slug}
        judge = self._no_such_route(f"POST {self._regulations}")
        reply = await self.api.post(self._regulations, values=values, json=body, judge=judge)
        receipt = self._regulate_id(reply)
        return [Erasure(Outcome.ACCEPTED, receipt) for _ in learners]

    async def is_regulated(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the regulation has ended, and where; 90 days after it nobody can tell any more."""
        path = self._regulations + "/{regulation}"
        values = {"workspace": self._own.workspace_slug, "regulation": receipt}
        # With an error in JSON it is Segment's own word that the regulation is not there, or not any more.
        reply = await self.api.get(path, values=values, judge=lambda it: it.status == 404 and it.says('"error'))
        if reply.status == 404:
            return Verdict.FAILED
        verdict = verdict_of(reply.data)
        if verdict is None:
            raise Refused(self.api.service, f"GET {path}", reply.status, "no regulation with a known status")
        return verdict

    async def probe(self, name: str) -> None:
        """Lists one regulation, or reads the workspace; looks nobody up in ecommerce."""
        config = self._own.api == "config"
        path, params = (WORKSPACE, []) if config else (PUBLIC, [("pagination.count", "1")])
        values = {"workspace": self._own.workspace_slug}
        judge = self._no_such_route(f"GET {path}")
        await self.api.get(path, values=values, params=params, patience=Patience.LOOKUP, judge=judge)
        if self._ecommerce:
            # Nobody's: LMS usernames have at least two characters.
            await self._look_up(self._ecommerce, "_")

    @property
    def _regulations(self) -> str:
        return CONFIG if self._own.api == "config" else PUBLIC

    def _could_be_an_id(self, learner: Learner) -> bool:
        """User ids, usernames and tracking ids are one namespace there; suppression is for good."""
        name = learner.username.strip()
        is_id = re.fullmatch(r"\d+|ecommerce-\d+", name, re.IGNORECASE)
        return bool(is_id) and name != str(learner.user_id) and not self._own.numeric_usernames

    def _identities(self, learner: Learner) -> list[str]:
        found = (str(learner.user_id), learner.username, self._tracking_ids.get(learner.user_id, ""))
        return [each for each in found if each.strip()]

    async def _tracking_id(self, learner: Learner) -> str | None:
        if self._ecommerce is None:
            return None
        request = f"GET {TRACKING_ID}"
        if not learner.routable:
            raise Refused(ECOMMERCE, request, None, "its route cannot carry this username")
        reply = await self._look_up(self._ecommerce, learner.username)
        if reply.status == 404:
            return None
        data = reply.data if isinstance(reply.data, dict) else {}
        tracking_id, user_id = data.get("ecommerce_tracking_id"), data.get("lms_user_id")
        if not isinstance(tracking_id, str) or not tracking_id.strip() or tracking_id.casefold() in NOBODYS:
            raise Refused(ECOMMERCE, request, reply.status, "the tracking id is missing")
        if user_id not in (None, learner.user_id):
            raise Refused(ECOMMERCE, request, reply.status, "it knows another learner by this username")
        return tracking_id

    async def _look_up(self, ecommerce: Api, username: str) -> Reply:
        def judge(reply: Reply) -> bool:
            if reply.status != 404:
                return False
            if not reply.says("Invalid user."):
                raise Misconfigured(ECOMMERCE, f"GET {TRACKING_ID}", 404, "no such route: is this ecommerce?")
            return True

        return await ecommerce.get(TRACKING_ID, values={"username": username}, patience=Patience.LOOKUP, judge=judge)

    def _no_such_route(self, request: str) -> Judge:
        """An answer of 404 where no learner is named: the workspace or the route is not there."""

        def judge(reply: Reply) -> None:
            if reply.status == 404:
                raise Misconfigured(self.api.service, request, 404, "no such workspace or route")

        return judge

    def _regulate_id(self, reply: Reply) -> str:
        data = reply.data if isinstance(reply.data, dict) else {}
        inner = data.get("data") if isinstance(data.get("data"), dict) else data
        found = inner.get("regulateId", inner.get("regulate_id")) if isinstance(inner, dict) else None
        if not isinstance(found, str) or not re.fullmatch(r"\w[\w-]{0,199}", found, re.ASCII) or data.get("errors"):
            raise Refused(self.api.service, f"POST {self._regulations}", reply.status, "the regulation's id is missing")
        return found


def _is_address(url: str, allow_insecure: bool) -> bool:
    """Whether a token may go there: https, or http where that was permitted or does not leave the machine."""
    parts = urlsplit(url)
    insecure = parts.scheme == "http" and (allow_insecure or parts.hostname in _THIS_MACHINE)
    return bool(parts.hostname) and (parts.scheme == "https" or insecure)
