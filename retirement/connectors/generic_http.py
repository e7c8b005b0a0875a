"""Any service with an HTTP API, by a request that the configuration declares.

Contract: issue of the generic connectors, and the house's rules for remotes (design.md, 5). The settings say what
is sent, which statuses mean what, and what an answer has to hold; a success whose body speaks of an error is refused
without being told so. Statuses that speak of credentials, time or a broken server are never an outcome.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, Self, cast

from pydantic import Field, SecretStr, field_validator, model_validator

from retirement.auth import HeaderAuth, basic, bearer
from retirement.connectors import (
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Operation,
    Outcome,
    Route,
    ServiceSettings,
    Verdict,
    operation,
)
from retirement.connectors.declared_requests import (
    RECEIPT,
    Answer,
    Ask,
    Probe,
    Request,
    at,
    filled,
    holds,
    identities,
    may_be_outcomes,
)
from retirement.errors import Refused
from retirement.http import Auth, Judge, Patience, Reply
from retirement.learner import Learner
from retirement.wiring import Wiring

#: A receipt is an id; whatever is longer was not meant.
LONGEST_ID = 200


class GenericHttp(Connector):
    """Any HTTP API, by a declared request; a service of another name says `connector: HTTP`."""

    service = "HTTP"

    class Settings(ServiceSettings):
        bearer: SecretStr | None = Field(default=None, description="Token that is sent as `Authorization: Bearer …`.")
        username: str | None = Field(default=None, description="User of Basic authentication, with `password`.")
        password: SecretStr | None = Field(default=None, description="Password of that user.")
        header: str | None = Field(
            default=None, pattern=r"^[\w-]+$", description="Header that signs requests, such as `X-Api-Key`."
        )
        header_value: SecretStr | None = Field(default=None, description="What that header holds.")
        jwt: bool = Field(default=False, description="Sign with the LMS worker's JWT. For services of Open edX only.")
        request: Request = Field(
            description="What erases: `method`, `path`, `query`, and `json` or `form`, with `{user_id}`, `{username}`, "
            "`{email}`, `{name}`, `{retired_username}`, `{retired_email}` in their texts; `{{` is a brace."
        )
        user_id_as: Literal["text", "number"] = Field(
            default="text", description="What a value of `json` is that is `{user_id}` and nothing else."
        )
        erased_on: tuple[int, ...] = Field(default=(200, 204), description="Statuses that mean: erased.")
        accepted_on: tuple[int, ...] = Field(default=(202,), description="Statuses that mean: the service will do it.")
        absent_on: tuple[int, ...] = Field(default=(), description="Statuses that mean: it holds nothing of them.")
        answer: Answer = Field(
            default=Answer(),
            description="What answers hold, by dotted path: `must_have` where it was done or accepted, `absent_has` "
            "where they are absent, such as `{must_have: {ok: true}}`; `empty_404: true` takes a 404 without a body "
            "for the service's own.",
        )
        receipt: str | None = Field(
            default=None,
            description="Where the answer holds an id to ask about later, as a dotted path; never personal.",
        )
        probe: Probe = Field(
            description="A harmless read that shows that address and credentials work: `path`, `method`, `query`, "
            "`json`; its statuses `ok_on`, by default 200 and 204."
        )
        ask: Ask | None = Field(
            default=None,
            description="What asks whether it is done: as `request`, with `{receipt}` too; done is a status of "
            "`gone_on` (by default 404) or an answer with `gone_has`, never done one with `failed_has`, and every "
            "other is `otherwise`: `present` or `working`.",
        )
        ask_every_hours: float = Field(default=24, gt=0, le=8760, description="Pause before each such question.")
        overdue_days: int = Field(default=30, ge=1, le=365, description="Days in which the service should be done.")

        @field_validator("erased_on", "accepted_on", "absent_on")
        @classmethod
        def _are_outcomes(cls, statuses: tuple[int, ...]) -> tuple[int, ...]:
            return may_be_outcomes(statuses)

        @field_validator("bearer", "header_value")
        @classmethod
        def _fits_a_header(cls, secret: SecretStr | None) -> SecretStr | None:
            text = secret.get_secret_value() if secret else "x"
            if not re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", text):
                raise ValueError("must be one line of ASCII characters without space at its ends")
            return secret

        @model_validator(mode="after")
        def _signs_in_one_way(self) -> Self:
            pairs = {"username": (self.username, self.password), "header": (self.header, self.header_value)}
            for name, (first, second) in pairs.items():
                if (first is None) != (second is None):
                    raise ValueError(
                        f"{name} needs its {'password' if name == 'username' else 'header_value'} and back"
                    )
            if [self.bearer is not None, self.username is not None, self.header is not None, self.jwt].count(True) != 1:
                raise ValueError("needs one way to sign in: bearer, username and password, header and value, or jwt")
            return self

        @model_validator(mode="after")
        def _reads_answers_in_one_way(self) -> Self:
            if any(status >= 300 for status in (*self.erased_on, *self.accepted_on)):
                raise ValueError("erased_on and accepted_on are statuses from 200 to 299; others go to absent_on")
            if set(self.accepted_on) & set(self.absent_on):
                raise ValueError("accepted_on and absent_on share a status; let each mean one thing")
            if not self.answer.absent_has and set(self.erased_on) & set(self.absent_on):
                raise ValueError("erased_on and absent_on share a status; answer.absent_has has to tell them apart")
            if "erased_on" in self.model_fields_set and set(self.erased_on) & set(self.accepted_on):
                raise ValueError("erased_on and accepted_on share a status; let each mean one thing")
            if self.ask and RECEIPT in self.ask.used and self.receipt is None:
                raise ValueError("ask uses {receipt}; say with receipt where the answer holds it")
            return self

    @property
    def _own(self) -> Settings:
        return cast(GenericHttp.Settings, self.settings)

    @classmethod
    def sign_in(cls, service: str, settings: Settings, wiring: Wiring) -> Auth:
        if settings.bearer:
            return bearer(settings.bearer)
        if settings.username is not None and settings.password:
            return basic(settings.username, settings.password)
        if settings.header and settings.header_value:
            return HeaderAuth(settings.header, settings.header_value.get_secret_value())
        return wiring.jwt

    @classmethod
    def declared(cls, settings: ServiceSettings | None) -> dict[str, Operation]:
        erase = cls.operations()["erase"]
        if isinstance(settings, cls.Settings):
            needs = frozenset(map(Identity, settings.request.used))
            route = Route(settings.request.method, settings.request.path, {})
            erase = replace(erase, needs=needs, route=route)
            if settings.ask:
                pause, late = timedelta(hours=settings.ask_every_hours), timedelta(days=settings.overdue_days)
                erase = replace(erase, asks="is_gone", follow_up=FollowUp(first=pause, every=pause, overdue=late))
        return {"erase": erase}

    @operation(*Identity)
    async def erase(self, learner: Learner) -> Erasure:
        """Send the request that the settings declare, and read its answer as they say."""
        own = self._own
        reply = await self._send(own.request, identities(learner), self._judge(own.absent_on, own.answer.absent_has))
        if reply.status in own.absent_on and holds(reply.data, own.answer.absent_has):
            if reply.status < 300:
                self._no_complaint(own.request, reply)
            return Erasure(Outcome.ABSENT)
        if reply.status in own.accepted_on:
            return Erasure(Outcome.ACCEPTED, self._proof(reply) or str(learner.user_id))
        if reply.status in own.erased_on:
            receipt = self._proof(reply)
            return Erasure(Outcome.ERASED, receipt or (str(learner.user_id) if own.ask else None))
        raise self._refused(own.request, reply, "no setting says what this status means")

    async def is_gone(self, receipt: str, learner: Learner | None) -> Verdict:
        """What the declared question comes to; FAILED where the LMS has forgotten whom to ask about."""
        own = self._own
        if own.ask is None:
            raise LookupError(f"{self.api.service} erase cannot be asked about")
        # Without a receipt of the service's the user id is one, so that the question outlives the LMS row.
        values: dict[str, object] = {RECEIPT: receipt}
        if own.receipt is None:
            values[Identity.USER_ID.value] = int(receipt)
        if learner is not None:
            values |= identities(learner)
        if not own.ask.used <= values.keys():
            return Verdict.FAILED
        reply = await self._send(own.ask, values, self._judge(own.ask.gone_on, {}), patience=Patience.LOOKUP)
        if own.ask.failed_has and holds(reply.data, own.ask.failed_has):
            return Verdict.FAILED
        if 200 <= reply.status < 300:
            self._no_complaint(own.ask, reply)
        if reply.status in own.ask.gone_on or (own.ask.gone_has and holds(reply.data, own.ask.gone_has)):
            return Verdict.GONE
        return Verdict(own.ask.otherwise)

    async def probe(self, name: str) -> None:
        """Sends the declared harmless read."""
        probe = self._own.probe
        reply = await self._send(probe, {}, self._judge(probe.ok_on, {}), patience=Patience.LOOKUP)
        if reply.status not in probe.ok_on:
            raise self._refused(probe, reply, "no status of probe.ok_on")

    async def _send(self, request: Request, values: Mapping[str, object], judge: Judge, **options: Any) -> Reply:
        if blank := next((name for name in sorted(request.used) if not str(values[name]).strip()), None):
            # A filter by an empty text finds everybody who has none.
            raise Refused(self.api.service, request.named, None, f"the learner has no {blank}")
        return await self.api.send(
            request.method,
            request.path,
            values={name: values[name] for name in request.used_in_path},
            params=list(filled(request.query, values).items()),
            json=filled(request.body, values, number=self._own.user_id_as == "number"),
            form=filled(request.form, values),
            judge=judge,
            **options,
        )

    def _judge(self, statuses: tuple[int, ...], has: Mapping[str, Any]) -> Judge:
        def judge(reply: Reply) -> bool:
            # A page, or a gateway's empty 404, is nothing that the service has said.
            own = reply.kind == "json" or (
                reply.kind == "empty" and (reply.status != 404 or self._own.answer.empty_404)
            )
            return reply.status >= 400 and reply.status in statuses and own and holds(reply.data, has)

        return judge

    def _proof(self, reply: Reply) -> str | None:
        """The receipt of an answer that holds what it must. Raises `Refused` for any other."""
        request = self._own.request
        self._no_complaint(request, reply)
        if not holds(reply.data, self._own.answer.must_have):
            raise self._refused(request, reply, "the answer does not hold what answer.must_have asks for")
        if self._own.receipt is None:
            return None
        found = at(reply.data, self._own.receipt)
        if isinstance(found, bool) or not isinstance(found, str | int) or not 0 < len(str(found)) <= LONGEST_ID:
            raise self._refused(request, reply, "the answer has no receipt where the setting says")
        return str(found)

    def _no_complaint(self, request: Request, reply: Reply) -> None:
        data = reply.data if isinstance(reply.data, dict) else {}
        if data.get("error") or data.get("errors") or data.get("success") is False or data.get("ok") is False:
            raise self._refused(request, reply, "a success that speaks of an error")

    def _refused(self, request: Request, reply: Reply, reason: str) -> Refused:
        return Refused(self.api.service, request.named, reply.status, reason)
