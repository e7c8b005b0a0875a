"""The health route that the services share (contract services.md A0)."""

from __future__ import annotations

from retirement.sandbox import gates
from retirement.sandbox.routing import Call, Route
from retirement.sandbox.wire import Answer, as_json


def health(call: Call) -> Answer:
    return as_json({"overall_status": "OK", "detailed_status": {"database_status": "OK"}})


ROUTE = Route("/health/", gates.open_to_all, {"GET": health})
