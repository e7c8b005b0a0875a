"""Requests to Prefect that change something: which permission each needs, and what of it is passed on.

A body is made anew from the fields that are known here, so that none of them has a meaning that was not looked at.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from retirement.api.prefect_rules import APPROVAL, OF_FLOWS, Kind, Rule
from retirement.api.refusals import DoorError, Forbidden, Missing
from retirement.ledger import Action
from retirement.ledger.passed import Asked
from retirement.privacy import REFUSAL, keepable

#: Reads a path of Prefect's API; None where there is no such thing.
Read = Callable[[str], Awaitable[Any]]

#: States to which a run may be moved: its cancellation, and one more try.
CANCEL = "cancel"
_CANCELLING, _AGAIN = ("CANCELLING", "Cancelling"), ("SCHEDULED", "AwaitingRetry")
#: What a start is called in the ledger; and the tag of a run, before the number of the entry that says who started it.
_STARTED, ASKED = "start", "asked"
#: The fields of a start that the UI sends and that change nothing but names.
_KEY = "idempotency_key"
_OF_A_START = frozenset({"name", "tags", "state", "parameters", _KEY})
NOT_OURS = "this is about a flow that is not ours"
#: What Prefect would compute itself from a field: a template, or a variable of the server.
_COMPUTED = "__prefect_kind"


@dataclass(frozen=True, slots=True)
class Change:
    """What is passed on: `form` is the key under which Prefect keeps the form that a person submits, and its fields."""

    asked: Asked
    needs: Action
    body: Mapping[str, Any] | None
    form: tuple[str, Mapping[str, Any]] | None = None

    def content(self, entry: int) -> bytes:
        """The body, once the ledger has the entry of this number; a run that is started has it among its tags."""
        if self.body is None:
            return b""
        tags = {"tags": [f"{ASKED}:{entry}"]} if self.asked.what == _STARTED else {}
        return json.dumps({**self.body, **tags}).encode()


async def change_of(rule: Rule, content: bytes, read: Read) -> Change:
    """The change that a request makes. Raises `DoorError` for one that is not understood or is not ours."""
    name = uuid_of(rule.id)
    if rule.kind in (Kind.ANSWER, Kind.MOVE):
        run = _found(await read(f"/flow_runs/{name}"), "run")
        flow = await _flow(run, read)
        return _answer(name, flow, run, _body(content)) if rule.kind is Kind.ANSWER else _move(name, flow, content)
    deployment = _found(await read(f"/deployments/{name}"), "deployment")
    flow = await _flow(deployment, read)
    if rule.kind is Kind.START:
        return Change(Asked(_STARTED, name, flow), OF_FLOWS[flow], _start(_body(content), deployment))
    if rule.kind is Kind.SCHEDULE:
        return Change(Asked("schedule", name, flow), Action.MONITOR, _schedule(_body(content)))
    return Change(Asked("pause", name, flow), Action.MONITOR, None)


def _answer(name: str, flow: str, run: Mapping[str, Any], body: Mapping[str, Any]) -> Change:
    """A form that is submitted, whatever it says: to see it needs the same permission."""
    details = (run.get("state") or {}).get("state_details") or {}
    key, pause = (details.get("run_input_keyset") or {}).get("response"), str(details.get("pause_key") or "")
    if not isinstance(key, str):
        raise DoorError("the run does not ask in a form")
    fields = body.get("run_input")
    if not isinstance(fields, dict) or body.keys() != {"run_input"}:
        raise DoorError("run_input: give the fields of the form")
    if _COMPUTED in json.dumps(fields):
        raise Forbidden("the fields of a form are texts, numbers and switches")
    needs = Action.APPROVE if pause.startswith(APPROVAL) else OF_FLOWS[flow]
    return Change(Asked("answer", name, flow), needs, {"run_input": fields}, (key, fields))


def _move(name: str, flow: str, content: bytes) -> Change:
    body = _body(content)
    given = body.get("state")
    state = (str(given.get("type")).upper(), given.get("name")) if isinstance(given, dict) else ("", None)
    if state[0] == _CANCELLING[0]:
        what, needs, (kind, named) = CANCEL, Action.MONITOR, _CANCELLING
    elif state[0] == _AGAIN[0]:
        what, needs, (kind, named) = "retry", OF_FLOWS[flow], _AGAIN
    else:
        raise Forbidden("through the door a run is cancelled or tried again, and moved to no other state")
    moved = {"state": {"type": kind, "name": named, "message": f"{what}: asked at the door"}}
    return Change(Asked(what, name, flow), needs, moved | {"force": body.get("force") is True})


def _start(body: Mapping[str, Any], deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run with parameters and nothing that says where or how it runs, or which task of ours it is."""
    others = {name: value for name, value in body.items() if name not in _OF_A_START and value not in (None, {}, [])}
    if others.pop("enforce_parameter_schema", True) is not True or others:
        names = ", ".join(sorted(_OF_A_START))
        raise Forbidden(f"a run is started here with parameters only; what may be given: {names}")
    if _COMPUTED in json.dumps(body.get("parameters") or {}):
        raise Forbidden("the parameters of a run are texts, numbers and switches")
    _require_no_tags(body.get("tags"), deployment.get("tags"))
    if not keepable(str(body.get("name") or "a name of Prefect's")):
        raise DoorError(f"name: {REFUSAL}")
    kept = {name: body[name] for name in ("name", "parameters") if body.get(name) is not None}
    return {**kept, **_key(body.get(_KEY)), **_when(body.get("state"))}


def _require_no_tags(given: Any, own: Any) -> None:
    """Raises `Forbidden` for tags that the deployment has not: tags tell which receipt a run is the form of."""
    if not isinstance(given or [], list):
        raise DoorError("tags: give a list")
    if any(each not in (own or ()) for each in (given or ())):
        raise Forbidden("a run is started here with the tags of its deployment, and no others")


def _key(given: Any) -> Mapping[str, str]:
    """A key among those of the door: with one of the schedule's, a run would take the place of a night's."""
    return {} if given is None else {_KEY: f"door {given}"}


def _when(state: Any) -> Mapping[str, Any]:
    """The state of a run that is started now, or at a time."""
    if not isinstance(state, dict):
        return {}
    details = state.get("state_details")
    time = details.get("scheduled_time") if isinstance(details, dict) else None
    at = {} if time is None else {"state_details": {"scheduled_time": time}}
    return {"state": {"type": "SCHEDULED", **at}}


def _schedule(body: Mapping[str, Any]) -> Mapping[str, Any]:
    if body.keys() != {"active"} or not isinstance(body["active"], bool):
        raise Forbidden("through the door a schedule is switched on or off, and not changed")
    return {"active": body["active"]}


async def _flow(of: Mapping[str, Any], read: Read) -> str:
    """The name of the flow of a run or a deployment. Raises `Forbidden` for one that is not ours."""
    name = _found(await read(f"/flows/{uuid_of(str(of.get('flow_id')))}"), "flow").get("name")
    if name not in OF_FLOWS:
        raise Forbidden(NOT_OURS)
    return str(name)


def _found(answer: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise Missing(f"Prefect has no such {what}")
    return answer


def _body(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
        # Python reads and writes numbers that JSON has not, and the ledger has no digest of them.
        json.dumps(body, allow_nan=False)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise DoorError("the body is no JSON object")
    return body


def uuid_of(text: str) -> str:
    """The id that a path names, as Prefect writes it. Raises `DoorError` for what is none."""
    try:
        return str(UUID(text))
    except ValueError:
        raise DoorError("the path names no run and no deployment") from None
