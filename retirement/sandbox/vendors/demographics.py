"""Demographics: a learner's answers about themselves, deleted by LMS user id (contract services.md A9, A15)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, Integer, Table

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Manners, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import Answer, as_json, empty
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of

answers = table_of("demographics", "demographics_user", Column("lms_user_id", Integer), "gender_description", "income")


def retire(call: Call) -> Answer:
    """404 of the REST framework where there is nothing."""
    body = call.request.data(forms=True)
    user_id = body.get("lms_user_id") if isinstance(body, dict) else None
    if isinstance(user_id, bool) or not str(user_id).isdecimal():
        return as_json({"lms_user_id": ["A valid integer is required."]}, 400)
    deleted = call.db.execute(answers.delete().where(answers.c.lms_user_id == int(str(user_id)))).rowcount
    return empty(204) if deleted else as_json({"detail": "Not found."}, 404)


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    own_words = f"{person.name} does not say"
    yield answers, {"lms_user_id": person.user_id, "gender_description": own_words, "income": "declined"}


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url}


VENDOR = Vendor(
    name="demographics",
    service="DEMOGRAPHICS",
    routes=[Route("/demographics/api/v1/retire_demographics/", gates.service_worker, {"POST": retire})],
    holds=_holds,
    settings=_settings,
    steps=[step("DEMOGRAPHICS", "DEMOGRAPHICS", "retire_learner")],
    manners=Manners(),
)
