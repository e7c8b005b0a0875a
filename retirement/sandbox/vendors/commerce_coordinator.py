"""commerce-coordinator: a customer's names become digests, and digests of digests (contract services.md A10)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, Integer, Table, select

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Manners, Route
from retirement.sandbox.vendors.vendor import Vendor, step
from retirement.sandbox.wire import Answer, as_json, empty
from retirement.sandbox.world.people import Person
from retirement.sandbox.world.schema import table_of

PERSONAL = ("first_name", "last_name", "email", "edx_username")
customer = table_of("commerce_coordinator", "commercetools_customer", Column("lms_user_id", Integer), *PERSONAL)


def _digest(value: str) -> str:
    return f"retired_user_{hashlib.sha256(f'sandbox-salt{value.lower()}'.encode()).hexdigest()}"


def retire(call: Call) -> Answer:
    """204 also where there is no customer; one without a first name breaks the view."""
    body = call.request.data(forms=True)
    user_id = body.get("edx_lms_user_id") if isinstance(body, dict) else None
    if isinstance(user_id, bool) or not str(user_id).isdecimal():
        return as_json("Invalid input provided", 400)
    found = call.db.execute(select(customer).where(customer.c.lms_user_id == int(str(user_id)))).first()
    if found is None:
        return empty(204)
    if found.first_name is None:
        return as_json("Exception occurred while retiring Commercetools customer", 500)
    values = {name: _digest(getattr(found, name)) for name in PERSONAL}
    call.db.execute(customer.update().where(customer.c.id == found.id).values(**values))
    return empty(204)


def _holds(person: Person) -> Iterable[tuple[Table, dict[str, Any]]]:
    first, _, last = person.name.partition(" ")
    # Who has no name in the LMS has none here either.
    names = {"first_name": first or None, "last_name": last}
    yield (
        customer,
        {"lms_user_id": person.user_id, "email": person.email, "edx_username": person.username, **names},
    )


def _settings(url: str, _urls: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url}


VENDOR = Vendor(
    name="commerce_coordinator",
    service="COMMERCE_COORDINATOR",
    # The contract wants staff of this service: here that is the worker.
    routes=[Route("/lms/user_retirement/", gates.service_worker, {"POST": retire})],
    holds=_holds,
    settings=_settings,
    steps=[step("COMMERCE_COORDINATOR", "COMMERCE_COORDINATOR", "retire_learner")],
    manners=Manners(),
)
