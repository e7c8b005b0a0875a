"""Segment: deletes what it holds of a learner, forwards the deletion, and takes no new events of them.

Contract of the services, sections A1.2 and B1. Two APIs make the same regulation: the Public API, and the old
Config API, whose tokens are no longer given out, which serves the US only, and whose status resource is described
nowhere (its names are read in both spellings). A regulation runs for up to 30 days and is shown for 90. Its
overall status also fails for destinations that cannot delete at all, so the statuses of destinations decide.
Segment knows a learner by LMS user id, by username and, on sites with ecommerce, by a tracking id of that service.
Suppression outlives the deletion for good: nothing that is sent later brings the learner back.

The vendor's documentation: https://segment.com/docs/privacy/user-deletion-and-suppression/ and https://docs.segmentapis.com/
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator

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
    Success,
    Verdict,
    an_object,
    operation,
)
from retirement.connectors.segment.regulations import verdict_of
from retirement.learner import Learner
from retirement.wire.api import Api
from retirement.wire.auth import bearer
from retirement.wire.patience import Patience
from retirement.wire.reply import Reply
from retirement.wire.urls import require_safe
from retirement.wire.wiring import Wiring

PUBLIC = "/regulations"
WORKSPACE = "/v1beta/workspaces/{workspace}"
CONFIG = WORKSPACE + "/regulations"
TRACKING_ID = "/api/v2/retirement/tracking_id/{username}/"

#: One call takes 5,000 ids, and a learner has up to three.
LEARNERS_A_CALL = 5_000 // 3
#: The service that knows the tracking id.
ECOMMERCE = "ECOMMERCE"
#: Words that broken senders put where an id is missing: as ids they belong to many people.
NO_IDS = frozenset({"none", "null", "undefined"})


_HOSTS = {
    ("public", "us"): "https://api.segmentapis.com",
    ("public", "eu"): "https://eu1.api.segmentapis.com",
    ("config", "us"): "https://platform.segmentapis.com",
}


class SegmentSettings(BatchSettings):
    """What stands below `services.SEGMENT`."""

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
        "learner's LMS user id: only where Segment knows no learner by user id.",
    )

    @model_validator(mode="before")
    @classmethod
    def _api_of_the_slug(cls, data: Any) -> Any:
        # The reference's configuration has a slug and knows the Config API only.
        if isinstance(data, dict) and data.get("workspace_slug") and data.get("api") is None:
            return data | {"api": "config"}
        return data

    @model_validator(mode="after")
    def _config_api_fits(self) -> Self:
        if self.api == "config" and not self.workspace_slug:
            raise ValueError("needs workspace_slug for the Config API, or api: public")
        if self.api == "config" and self.region == "eu" and not self.url:
            raise ValueError("the Config API serves the US only; use api: public with a Public API token")
        return self

    @model_validator(mode="after")
    def _ecommerce_is_safe(self) -> Self:
        if self.ecommerce_url is not None:
            require_safe("ecommerce_url", self.ecommerce_url, allow_insecure=self.allow_insecure)
        return self

    @property
    def base_url(self) -> str:
        return self.url or _HOSTS[self.api, self.region]


class Segment(Connector[SegmentSettings]):
    """The customer data platform Twilio Segment."""

    service = "SEGMENT"
    answers: ClassVar[Mapping[str, Success]] = {
        f"POST {CONFIG}": an_object(statuses=(200, 201)),
        f"GET {PUBLIC}": an_object(),
        f"GET {PUBLIC}/{{regulation}}": an_object(),
        f"GET {CONFIG}/{{regulation}}": an_object(),
        f"GET {WORKSPACE}": an_object(),
    }
    #: The documented rate of the Config API; that of the Public API is not documented, and not lower.
    limits = Limits(rates={"": Rate(200, 60)})
    reference_keys: ClassVar[Mapping[str, str]] = {
        "segment_auth_token": "token",
        "segment_workspace_slug": "workspace_slug",
    }

    def __init__(self, settings: SegmentSettings, api: Api, ecommerce: Api | None = None) -> None:
        super().__init__(settings, api)
        found = {f"GET {TRACKING_ID}": an_object("ecommerce_tracking_id")}
        self._ecommerce = ecommerce.expecting(found) if ecommerce else None
        #: Tracking ids of learners whose operation is under way, by user id.
        self._tracking_ids: dict[int, str] = {}

    @classmethod
    def connected(cls, service: str, settings: SegmentSettings, wiring: Wiring) -> Self:
        api = wiring.api(service, settings.base_url, auth=bearer(settings.token), limits=cls.limits)
        ecommerce = wiring.api(ECOMMERCE, settings.ecommerce_url, auth=wiring.jwt) if settings.ecommerce_url else None
        return cls(settings, api, ecommerce)

    @classmethod
    def declared(cls, settings: SegmentSettings | None) -> dict[str, Operation]:
        operations = super().declared(settings)
        if settings is None or not settings.ecommerce_url:
            return operations
        return {name: replace(each, looks_up_in=ECOMMERCE) for name, each in operations.items()}

    def route(self, name: str) -> Route | None:
        if self.settings.api == "config":
            return Route("POST", CONFIG, {"workspace": self.settings.workspace_slug})
        return super().route(name)

    async def perform(self, name: str, learner: Learner) -> Erasure:
        """As every connector, after the look-up: one that fails concerns that learner alone, not their batch."""
        if learner.username.casefold() in NO_IDS:
            # What it would delete and suppress for good is what broken senders sent of many people.
            raise self.api.refused(f"POST {self._regulations}", "a username that stands for none")
        if self._could_be_an_id(learner):
            why = "a username that could be another learner's id: see `numeric_usernames`"
            raise self.api.refused(f"POST {self._regulations}", why)
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
        success=an_object(statuses=(200, 201)),
    )
    async def delete_and_suppress_learner(self, learners: Sequence[Learner]) -> Sequence[Erasure]:
        """Delete what Segment and its destinations hold of the learner, and take no more of it."""
        ids = list(dict.fromkeys(each for learner in learners for each in self._identities(learner)))
        if self.settings.api == "config":
            attributes = {"name": "userId", "values": ids}
            body: dict[str, Any] = {"regulation_type": "Suppress_With_Delete", "attributes": attributes}
        else:
            body = {"regulationType": "SUPPRESS_WITH_DELETE", "subjectType": "USER_ID", "subjectIds": ids}
        values = {"workspace": self.settings.workspace_slug}
        reply = await self.api.post(self._regulations, values=values, json=body, judge=_route_exists)
        receipt = _regulate_id(reply)
        return [Erasure(Outcome.ACCEPTED, receipt) for _ in learners]

    async def is_regulated(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the regulation has ended, and where; 90 days after it Segment shows it no more."""
        path = self._regulations + "/{regulation}"
        values = {"workspace": self.settings.workspace_slug, "regulation": receipt}
        # With an error in JSON it is Segment's own word that the regulation is not there, or not any more.
        reply = await self.api.get(path, values=values, judge=lambda it: it.status == 404 and it.says('"error'))
        if reply.status == 404:
            return Verdict.FAILED
        verdict = verdict_of(reply.data)
        if verdict is None:
            raise reply.refused("no regulation with a known status")
        return verdict

    async def probe(self, name: str) -> None:
        """Lists one regulation, or reads the workspace; looks an unused name up in ecommerce."""
        config = self.settings.api == "config"
        path, params = (WORKSPACE, []) if config else (PUBLIC, [("pagination.count", "1")])
        values = {"workspace": self.settings.workspace_slug}
        await self.api.get(path, values=values, params=params, patience=Patience.LOOKUP, judge=_route_exists)
        if self._ecommerce:
            # No learner has this name: LMS usernames have at least two characters.
            await self._look_up(self._ecommerce, "_")

    @property
    def _regulations(self) -> str:
        return CONFIG if self.settings.api == "config" else PUBLIC

    def _could_be_an_id(self, learner: Learner) -> bool:
        """User ids, usernames and tracking ids are one namespace there; suppression is for good."""
        name = learner.username.strip()
        is_id = re.fullmatch(r"\d+|ecommerce-\d+", name, re.IGNORECASE)
        return bool(is_id) and name != str(learner.user_id) and not self.settings.numeric_usernames

    def _identities(self, learner: Learner) -> list[str]:
        found = (str(learner.user_id), learner.username, self._tracking_ids.get(learner.user_id, ""))
        return [each for each in found if each.strip()]

    async def _tracking_id(self, learner: Learner) -> str | None:
        if self._ecommerce is None:
            return None
        if not learner.routable:
            raise self._ecommerce.refused(f"GET {TRACKING_ID}", "its route cannot carry this username")
        reply = await self._look_up(self._ecommerce, learner.username)
        if reply.status == 404:
            return None
        tracking_id = reply.member("ecommerce_tracking_id", str, "the tracking id")
        if _is_no_id(tracking_id):
            raise reply.refused("the tracking id is missing")
        if reply.at("lms_user_id") not in (None, learner.user_id):
            raise reply.refused("it knows another learner by this username")
        return tracking_id

    async def _look_up(self, ecommerce: Api, username: str) -> Reply:
        def judge(reply: Reply) -> bool:
            if reply.status != 404:
                return False
            if not reply.says("Invalid user."):
                raise reply.misconfigured("no such route: is this ecommerce?")
            return True

        return await ecommerce.get(TRACKING_ID, values={"username": username}, patience=Patience.LOOKUP, judge=judge)


def _route_exists(reply: Reply) -> None:
    """An answer of 404 where no learner is named: the workspace or the route is not there."""
    if reply.status == 404:
        raise reply.misconfigured("no such workspace or route")


def _is_no_id(text: str) -> bool:
    return not text.strip() or text.casefold() in NO_IDS


def _regulate_id(reply: Reply) -> str:
    data = reply.mapping
    inner = data.get("data") if isinstance(data.get("data"), dict) else data
    found = inner.get("regulateId", inner.get("regulate_id")) if isinstance(inner, dict) else None
    if not isinstance(found, str) or not re.fullmatch(r"\w[\w-]{0,199}", found, re.ASCII) or data.get("errors"):
        raise reply.refused("the regulation's id is missing")
    return found
