"""Any service with an HTTP API, by a request that the configuration declares.

No contract names this service: the settings say what is sent, which statuses mean what, and what an answer has to
hold; a success whose body speaks of an error is refused without being told so.
Statuses that speak of credentials, time or a broken server are never an outcome.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

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
from retirement.connectors.http.declared_requests import (
    RECEIPT,
    Answer,
    Ask,
    Probe,
    Request,
    Template,
    at,
    filled,
    holds,
    may_be_outcomes,
    no_complaint,
)
from retirement.connectors.shared.placeholders import first_blank, first_unfit, identities
from retirement.learner import Learner
from retirement.wire import api
from retirement.wire.api import Auth
from retirement.wire.auth import HeaderAuth, basic, bearer
from retirement.wire.patience import Patience
from retirement.wire.reply import Judge, Reply
from retirement.wire.wiring import Wiring

#: A receipt is an id; whatever is longer was not meant.
LONGEST_ID = 200


class GenericHttpSettings(ServiceSettings):
    """What stands below `services.HTTP`."""

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
        "`{email}`, `{name}`, `{retired_username}`, `{retired_email}` as whole values, or within texts with "
        "`raw: true`; `{{` is a brace. DELETE and PUT need an identity other than the name in path or query."
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
                raise ValueError(f"{name} needs its {'password' if name == 'username' else 'header_value'} and back")
        if [self.bearer is not None, self.username is not None, self.header is not None, self.jwt].count(True) != 1:
            raise ValueError("needs one way to sign in: bearer, username and password, header and value, or jwt")
        return self

    @model_validator(mode="after")
    def _is_done_on_successes(self) -> Self:
        if any(status >= 300 for status in (*self.erased_on, *self.accepted_on)):
            raise ValueError("erased_on and accepted_on are statuses from 200 to 299; others go to absent_on")
        return self

    @model_validator(mode="after")
    def _reads_a_status_in_one_way(self) -> Self:
        if set(self.accepted_on) & set(self.absent_on):
            raise ValueError("accepted_on and absent_on share a status; let each mean one thing")
        if not self.answer.absent_has and set(self.erased_on) & set(self.absent_on):
            raise ValueError("erased_on and absent_on share a status; answer.absent_has has to tell them apart")
        if "erased_on" in self.model_fields_set and set(self.erased_on) & set(self.accepted_on):
            raise ValueError("erased_on and accepted_on share a status; let each mean one thing")
        return self

    @model_validator(mode="after")
    def _has_the_receipt_that_it_asks_with(self) -> Self:
        if self.ask and RECEIPT in self.ask.used and self.receipt is None:
            raise ValueError("ask uses {receipt}; say with receipt where the answer holds it")
        return self

    def outcome_of(self, reply: Reply) -> Outcome | None:
        """What the status of an answer means, None where no setting says it."""
        if reply.status in self.absent_on and holds(reply.data, self.answer.absent_has):
            return Outcome.ABSENT
        if reply.status in self.accepted_on:
            return Outcome.ACCEPTED
        return Outcome.ERASED if reply.status in self.erased_on else None


class GenericHttp(Connector[GenericHttpSettings]):
    """Any HTTP API, by a declared request; a service of another name says `connector: HTTP`."""

    service = "HTTP"

    @classmethod
    def sign_in(cls, service: str, settings: GenericHttpSettings, wiring: Wiring) -> Auth:
        if settings.bearer:
            return bearer(settings.bearer)
        if settings.username is not None and settings.password:
            return basic(settings.username, settings.password)
        if settings.header and settings.header_value:
            return HeaderAuth(settings.header, settings.header_value.get_secret_value())
        return wiring.jwt

    @classmethod
    def declared(cls, settings: GenericHttpSettings | None) -> dict[str, Operation]:
        erase = cls.operations()["erase"]
        if settings is not None:
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
        own = self.settings
        reply = await self._send(own.request, identities(learner), self._judge(own.absent_on, own.answer.absent_has))
        outcome = own.outcome_of(reply)
        if outcome is None:
            raise reply.refused("no setting says what this status means")
        no_complaint(reply)
        if outcome is Outcome.ABSENT:
            return Erasure(outcome)
        receipt = self._proof(reply)
        if outcome is Outcome.ACCEPTED or own.ask:
            # Without a receipt of the service's the user id is one, so that the question outlives the LMS row.
            receipt = receipt or str(learner.user_id)
        return Erasure(outcome, receipt)

    async def is_gone(self, receipt: str, learner: Learner | None) -> Verdict:
        """What the declared question comes to; FAILED where the LMS has no names of the learner any more."""
        own = self.settings
        if own.ask is None:
            raise LookupError(f"{self.api.service} erase cannot be asked about")
        # Without a receipt of the service's it is the user id.
        given = {Identity.USER_ID.value: int(receipt)} if own.receipt is None else {}
        values = {RECEIPT: receipt, **given, **identities(learner)}
        if not own.ask.used <= values.keys():
            return Verdict.FAILED
        reply = await self._send(own.ask, values, self._judge(own.ask.gone_on, {}), patience=Patience.LOOKUP)
        return own.ask.verdict(reply)

    async def probe(self, name: str) -> None:
        """Sends the declared harmless read."""
        probe = self.settings.probe
        reply = await self._send(probe, {}, self._judge(probe.ok_on, {}), patience=Patience.LOOKUP)
        if reply.status not in probe.ok_on:
            raise reply.refused("no status of probe.ok_on")

    async def _send(
        self, request: Template, values: Mapping[str, object], judge: Judge, patience: Patience | None = None
    ) -> Reply:
        if blank := first_blank(request.used, values):
            raise self.api.refused(request.named, f"the learner has no {blank}")
        if unfit := first_unfit(request.used_within, values):
            raise self.api.refused(request.named, f"the {unfit} means more than itself within a text (raw)")
        sent = api.Request(
            request.method,
            request.path,
            values={name: values[name] for name in request.used_in_path},
            params=list(filled(request.query, values).items()),
            json=filled(request.body, values, number=self.settings.user_id_as == "number"),
            form=filled(request.form, values),
            patience=patience,
        )
        return await self.api.send(sent, judge)

    def _judge(self, statuses: tuple[int, ...], has: Mapping[str, Any]) -> Judge:
        def judge(reply: Reply) -> bool:
            fits = reply.status >= 400 and reply.status in statuses and self.settings.answer.is_of_the_service(reply)
            return fits and holds(reply.data, has)

        return judge

    def _proof(self, reply: Reply) -> str | None:
        """The receipt of an answer that holds what it must. Raises `Refused` for any other."""
        if not holds(reply.data, self.settings.answer.must_have):
            raise reply.refused("the answer does not hold what answer.must_have asks for")
        if self.settings.receipt is None:
            return None
        found = at(reply.data, self.settings.receipt)
        if isinstance(found, bool) or not isinstance(found, str | int) or not 0 < len(str(found)) <= LONGEST_ID:
            raise reply.refused("the answer has no receipt where the setting says")
        return str(found)
