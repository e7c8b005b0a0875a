"""Salesforce: Leads and Contacts that have the learner's e-mail address.

Contract of the services, section B5. The reference deletes nothing: it files a Task, and a person deletes. So
does `mode: task`, with one Task for each record, in whose text stands the record's id and no address;
`mode: delete` deletes, where one address has at most `delete_at_most` of a kind. What is deleted lies in the
recycle bin for 15 days, can be restored, and is found by `queryAll` until it is purged. Receipts are record ids: an
address may belong to another person by then.

The vendor's documentation: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/intro_rest.htm
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from retirement.connectors import (
    Connector,
    Erasure,
    FollowUp,
    Identity,
    Limits,
    Outcome,
    Repeats,
    Route,
    ServiceSettings,
    Success,
    Verdict,
    an_object,
    nothing,
    operation,
)
from retirement.connectors.salesforce.assertion import GRANT, assertion, rsa_key
from retirement.connectors.salesforce.soql import (
    DATA,
    MORE,
    MOST_RECORDS,
    QUERY,
    QUERY_ALL,
    TOO_MANY,
    Queries,
    deleted,
    is_id,
    literal,
    meant,
    one_of,
)
from retirement.learner import Learner
from retirement.wire.api import Api, Auth
from retirement.wire.wiring import Wiring

TASKS, RECORD = f"{DATA}/sobjects/Task", f"{DATA}/sobjects/{{kind}}/{{record}}"
SIGN_IN = "/services/oauth2/token"
#: The answer names no lifetime; sessions of an org last two hours unless it says otherwise.
SESSION_SECONDS = 7200
KINDS = ("Lead", "Contact")
WITHDRAWN = (
    "Salesforce withdraws sign-in by password; configure client_id and client_secret of an External Client App,"
    " or client_id, private_key and username"
)


class Mode(StrEnum):
    """Who deletes."""

    TASK = "task"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class _Record:
    kind: str
    id: str
    in_bin: bool

    def __str__(self) -> str:
        """As a receipt names it."""
        return f"{self.kind}/{self.id}"

    @property
    def subject(self) -> str:
        """Of the Task for this record, always the same, so that it can be found."""
        return f"Open edX user retirement: delete {self.kind} {self.id}"

    @property
    def description(self) -> str:
        return f"This person has asked for erasure. Delete the {self.kind} {self.id}, also from the recycle bin."


class SalesforceSettings(ServiceSettings):
    """What stands below `services.SALESFORCE`."""

    url: str = Field(description="My Domain address of the org, such as `https://acme.my.salesforce.com`.")
    api_version: str = Field(default="66.0", pattern=r"^\d\d\.0$", description="Version of the REST API.")
    client_id: str = Field(min_length=1, description="Consumer key of the External Client App.")
    client_secret: SecretStr | None = Field(
        default=None, description="Consumer secret, to sign in as the app's execution user."
    )
    private_key: SecretStr | None = Field(
        default=None, description="Instead of a secret: RSA key in PEM, whose certificate the app has."
    )
    username: str | None = Field(default=None, description="With `private_key`: the pre-authorised user to act as.")
    audience: str = Field(
        default="https://login.salesforce.com",
        description="With `private_key`: where the assertion is for; `https://test.salesforce.com` for sandboxes.",
    )
    mode: Mode = Field(default=Mode.TASK, description="`task`: file Tasks for a person to delete; or `delete`.")
    delete_at_most: int = Field(
        default=1,
        ge=1,
        le=MOST_RECORDS,
        description="With `mode: delete`: Leads, and Contacts, of one address that are deleted without a person; where "
        "there are more of a kind the address may be shared, and a person deletes those that are the learner's.",
    )
    assignee: str | None = Field(default=None, description="With `mode: task`: username of who gets the Tasks.")

    @model_validator(mode="after")
    def _can_sign_in(self) -> Self:
        if bool(self.client_secret) == bool(self.private_key):
            raise ValueError("needs either client_secret, or private_key with username")
        if bool(self.private_key) != bool(self.username):
            raise ValueError("private_key and username go together: give both or neither")
        if self.private_key:
            rsa_key(self.private_key)
        return self

    @model_validator(mode="after")
    def _has_a_place_and_a_person(self) -> Self:
        if urlsplit(self.url).hostname in ("login.salesforce.com", "test.salesforce.com"):
            raise ValueError("url must be the org's My Domain address, such as https://acme.my.salesforce.com")
        if self.mode is Mode.TASK and not self.assignee:
            raise ValueError("mode task needs assignee, the username of who gets the Tasks")
        return self


class Salesforce(Connector[SalesforceSettings]):
    """The customer relationship platform Salesforce."""

    service = "SALESFORCE"
    answers: ClassVar[Mapping[str, Success]] = {
        f"DELETE {RECORD}": nothing(),
        f"GET {QUERY}": an_object("records", "done", "totalSize"),
        f"GET {QUERY_ALL}": an_object("records", "done", "totalSize"),
        f"GET {MORE}": an_object("records", "done"),
    }
    #: An org takes 25 long calls at a time, and it has other users.
    limits = Limits(at_once=10)
    reference_keys: ClassVar[Mapping[str, str]] = {"salesforce_assignee": "assignee"}
    withdrawn_keys: ClassVar[Mapping[str, str]] = {
        "salesforce_user": WITHDRAWN,
        "salesforce_password": WITHDRAWN,
        "salesforce_token": WITHDRAWN,
        "salesforce_domain": "Tokens come from the org's own host; configure url, its My Domain address",
    }

    @classmethod
    def sign_in(cls, service: str, settings: SalesforceSettings, wiring: Wiring) -> Auth:
        def form() -> dict[str, str]:
            if settings.client_secret:
                secret = settings.client_secret.get_secret_value()
                return {
                    "grant_type": "client_credentials",
                    "client_id": settings.client_id,
                    "client_secret": secret,
                }
            key, user = rsa_key(settings.private_key or SecretStr("")), settings.username or ""
            claims = assertion(key, issuer=settings.client_id, subject=user, audience=settings.audience)
            return {"grant_type": GRANT, "assertion": claims}

        return wiring.oauth(service, settings.base_url, SIGN_IN, form, lifetime=SESSION_SECONDS)

    def __init__(self, settings: SalesforceSettings, api: Api) -> None:
        super().__init__(settings, api)
        self._queries = Queries(api, settings.api_version)
        self._owner = ""

    def route(self, name: str) -> Route:
        """Where the operation writes: a Task, or the records themselves."""
        if self.settings.mode is Mode.TASK:
            return Route("POST", TASKS, {})
        return Route("DELETE", RECORD, {})

    @operation(
        Identity.EMAIL,
        route=("POST", TASKS),
        repeats=Repeats.LOOK_FIRST,
        asks="is_left",
        again="erase_named",
        follow_up=FollowUp(first=timedelta(days=1), every=timedelta(days=1), overdue=timedelta(days=30)),
        success=an_object("id", "success", statuses=(201,)),
    )
    async def retire_learner(self, learner: Learner) -> Erasure:
        """Have a person delete the Leads and Contacts of the address; with `mode: delete`, delete them."""
        if not learner.email.strip():
            # To SOQL an empty text means every record that has no address.
            raise self.api.refused(f"GET {QUERY_ALL}", "the learner has no address, and nothing else finds them")
        owner = await self._assignee() if self.settings.mode is Mode.TASK else None
        found = await self._records_of(learner)
        if not found:
            return Erasure(Outcome.ABSENT)
        outcome = await self._erase(found, owner)
        # What a run before this one has deleted is found in the bin, so that its receipt is not lost.
        return Erasure(outcome, " ".join(map(str, found)))

    async def _erase(self, found: Sequence[_Record], owner: str | None) -> Outcome:
        """Files Tasks for an owner to delete the records that are not in the bin, or deletes them without an owner.

        Where they are more than may be one learner's, a person deletes them: the receipt names them, and they are
        asked for until they are gone.
        """
        records = [each for each in found if not each.in_bin]
        if records and owner:
            await self._file(records, owner)
        if records and (owner or self._may_be_shared(found)):
            return Outcome.MANUAL
        for each in records:
            await self._delete(each)
        return Outcome.ERASED

    def _may_be_shared(self, found: Sequence[_Record]) -> bool:
        most = max(Counter(each.kind for each in found).values(), default=0)
        return most > self.settings.delete_at_most

    async def erase_named(self, receipt: str) -> Erasure:
        """Have the records of a receipt deleted once more, as far as they are there and not in the bin."""
        owner = await self._assignee() if self.settings.mode is Mode.TASK else None
        left = [_Record(kind, row["Id"], row["IsDeleted"]) for kind, row in await self._left(receipt)]
        outcome = await self._erase(left, owner)
        return Erasure(outcome, receipt)

    async def is_left(self, receipt: str, _learner: Learner | None) -> Verdict:
        """Whether the records are still there, or in the recycle bin."""
        left = await self._left(receipt)
        if any(not row["IsDeleted"] for _, row in left):
            return Verdict.PRESENT
        return Verdict.WORKING if left else Verdict.GONE

    async def _left(self, receipt: str) -> list[tuple[str, dict[str, Any]]]:
        """The records of a receipt that are there or in the bin, each with its kind."""
        ids = self._ids_in(receipt)
        chosen = [(kind, f"Id IN {one_of(ids[kind])}") for kind in KINDS if ids[kind]]
        return [(kind, row) for kind, condition in chosen for row in await self._rows(kind, condition)]

    def _ids_in(self, receipt: str) -> dict[str, list[str]]:
        """The ids of records in a receipt, by kind."""
        ids: dict[str, list[str]] = {kind: [] for kind in KINDS}
        for each in receipt.split():
            kind, _, record = each.partition("/")
            if kind not in KINDS or not is_id(record):
                raise self.api.refused(f"GET {QUERY_ALL}", "the receipt names no records")
            ids[kind].append(record)
        if not any(ids.values()):
            raise self.api.refused(f"GET {QUERY_ALL}", "the receipt names no records")
        return ids

    async def probe(self, name: str) -> None:
        """Looks for an address that no learner has, and for the assignee; cannot show whether we may delete."""
        if self.settings.mode is Mode.TASK:
            await self._assignee()
            await self._queries.rows(QUERY, "Task", ["Subject"], f"Subject IN {one_of(['nothing'])}")
        for kind in KINDS:
            await self._with_address(kind, "nobody@retirement.invalid")

    async def _assignee(self) -> str:
        """The id of who gets the Tasks, asked for once."""
        if not self._owner:
            condition = f"Username = {literal(self.settings.assignee or '')} AND IsActive = true"
            rows = await self._queries.rows(QUERY, "User", ["Id"], condition)
            if not rows:
                raise self.api.misconfigured(f"GET {QUERY}", "no active user is called as `assignee` says")
            self._owner = str(rows[0]["Id"])
        return self._owner

    async def _records_of(self, learner: Learner) -> list[_Record]:
        """The records with the learner's address. Raises `Refused` where they are too many for one person."""
        found = [each for kind in KINDS for each in await self._with_address(kind, learner.email)]
        if len(found) > MOST_RECORDS:
            raise self.api.refused(f"GET {QUERY_ALL}", TOO_MANY)
        return found

    async def _with_address(self, kind: str, email: str) -> list[_Record]:
        """The records of a kind that have this address. Raises `Refused` for an answer about another one."""
        rows = await self._rows(kind, f"Email = {literal(email)}", "Email")
        if any(str(row["Email"]).casefold() != email.casefold() for row in rows):
            # What was given is deleted by its id: a mixed-up answer would cost another person the record.
            raise self.api.refused(f"GET {QUERY_ALL}", "it gives a record of another address", 200)
        return [_Record(kind, row["Id"], row["IsDeleted"]) for row in rows]

    async def _rows(self, kind: str, condition: str, *more: str) -> list[dict[str, Any]]:
        """Id, bin and more of the records of a kind, those in the recycle bin included."""
        return await self._queries.rows(QUERY_ALL, kind, ["Id", "IsDeleted", *more], condition)

    async def _file(self, records: Sequence[_Record], owner: str) -> None:
        """Makes a Task for each record that has no open one."""
        subjects = one_of(each.subject for each in records)
        rows = await self._queries.rows(QUERY, "Task", ["Subject"], f"IsClosed = false AND Subject IN {subjects}")
        filed = {row.get("Subject") for row in rows}
        for each in records:
            if each.subject not in filed:
                await self._make_task(each, owner)

    async def _make_task(self, record: _Record, owner: str) -> None:
        task = {"Subject": record.subject, "Description": record.description, "WhoId": record.id, "OwnerId": owner}
        # Once: after a lost answer the next try looks for the Task before it makes another.
        reply = await self.api.post(
            TASKS,
            values={"version": self.settings.api_version},
            json=task,
            once=True,
            judge=meant,
        )
        if reply.mapping.get("success") is not True or not is_id(reply.mapping.get("id")):
            raise reply.refused("it does not say that the Task was made")

    async def _delete(self, record: _Record) -> None:
        values = {"version": self.settings.api_version, "kind": record.kind, "record": record.id}
        await self.api.delete(RECORD, values=values, judge=deleted)
