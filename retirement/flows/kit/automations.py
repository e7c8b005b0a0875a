"""The automations of the Prefect server, as code: dead runs become Crashed, and operators are told.

All have names that begin with `openedx-retirement: `. What is there already and is as wanted stays untouched, so
Prefect goes on counting what was told when; one that an operator has switched off stays off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.settings import get_current_settings

from retirement.config import ChannelSettings, Occasion
from retirement.errors import GuardStopped
from retirement.flows.kit import channels as kept_channels
from retirement.flows.kit.channels import Placed
from retirement.flows.kit.dead_runs import MESSAGE
from retirement.flows.kit.manual import TAG as MANUAL
from retirement.flows.kit.names import ENDS, FLOWS, JOBS, TAG
from retirement.flows.kit.troubles import THRESHOLD, event_of, label

#: Seconds of silence that mean death: three of Prefect's heartbeats, which come every 180 seconds, and one minute.
SILENT_SECONDS = 600

_OURS = "openedx-retirement: "
_TELLS = f"{_OURS}tell "

#: States in which a run waits for others than its process.
_WAITS = ("AwaitingConcurrencySlot", "AwaitingRetry", "Paused", "Suspended")
_LEARNER, _QUEUE = FLOWS

Related = dict[str, Any] | list[dict[str, Any]]


def _of_flows(*names: str) -> dict[str, Any]:
    return {"prefect.resource.role": "flow", "prefect.resource.name": list(names)}


def _tagged(tag: str) -> dict[str, Any]:
    return {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"}


_OF_JOBS: Related = [_of_flows(*JOBS), _tagged(TAG)]
#: Not of the runs of learners that a queue run makes: it says itself what became of its learners.
_OF_ONE_LEARNER: Related = [_of_flows(_LEARNER), _tagged(TAG)]

_RUN = "prefect.resource.id"
_FLOW_AND_STATE = ["related:flow:prefect.resource.id", "prefect.state-name"]


def silence_automations(seconds: int = SILENT_SECONDS) -> list[dict[str, Any]]:
    """The automations in the form that `prefect automation create --from-file` reads below `automations`."""
    return [_silence("silent runs", _of_flows(*FLOWS), seconds), _silence("silent jobs", _OF_JOBS, seconds)]


def _silence(name: str, related: Related, seconds: int) -> dict[str, Any]:
    return {
        "name": f"{_OURS}{name}",
        "description": "A run of the retirement flows that has sent no heartbeat for this long is taken for Crashed.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": related,
            "for_each": [_RUN],
            # The server says Pending and Running itself: a run may be killed before its first heartbeat is out, and
            # a worker before it has begun the run.
            "after": [f"prefect.flow-run.{event}" for event in ("Pending", "Running", "heartbeat")],
            "expect": [f"prefect.flow-run.{event}" for event in ("Running", "heartbeat", *_WAITS, *ENDS)],
            "threshold": 1,
            "within": seconds,
        },
        "actions": [{"type": "change-flow-run-state", "state": "CRASHED", "message": MESSAGE}],
    }


def telling_automations(channel: ChannelSettings, block: UUID, ui_url: str) -> list[dict[str, Any]]:
    """The automations that tell one channel, whose block has this id; links begin with `ui_url`."""
    again = channel.repeat_hours * 3600
    return [
        {
            "name": f"{_TELLS}{channel.name}: {occasion.value}",
            "description": f"Tells the channel {channel.name}; written from the configuration, by `retirement serve`.",
            "enabled": True,
            "trigger": _trigger(channel, occasion, again),
            "actions": [_message(occasion, block, ui_url)],
        }
        for occasion in channel.occasions
        # The run that writes the page sends it, since it is longer than a message of the server and has files.
        if occasion is not Occasion.DIGEST
    ]


def _trigger(channel: ChannelSettings, occasion: Occasion, again: float) -> dict[str, Any]:
    if occasion in (Occasion.FAILED, Occasion.CRASHED):
        state = {"prefect.state-type": occasion.value.upper()}
        # A flow that fails alike every hour is told once in a while; each run of one learner is a matter of its own.
        return _any(
            _runs(_of_flows(_QUEUE), ["*"], again, state, _FLOW_AND_STATE),
            _runs(_OF_JOBS, ["*"], again, state, _FLOW_AND_STATE),
            _runs(_OF_ONE_LEARNER, ["*"], 0, state, [_RUN]),
        )
    if occasion is Occasion.PAUSED:
        return _any(
            _runs(_of_flows(_QUEUE), ["Paused"], 0),
            # A run that does not wait leaves its question in the ledger and ends by that name.
            _runs(_of_flows(_QUEUE), [GuardStopped.__name__], 0, {"prefect.state-type": "CANCELLED"}),
            _runs(_OF_JOBS, ["Paused"], 0),
            _runs(_OF_ONE_LEARNER, ["Paused"], 0),
            # Dozens of them may come at once, one for each learner.
            _runs(_of_flows(MANUAL), ["Paused"], again, for_each=_FLOW_AND_STATE),
        )
    match = {_RUN: "retirement.*", THRESHOLD: label(channel.threshold(occasion))}
    return _reactive([event_of(occasion)], match, again, [_RUN])


def _runs(
    related: Related,
    states: Sequence[str],
    again: float,
    state: dict[str, str] | None = None,
    for_each: Sequence[str] = (_RUN,),
) -> dict[str, Any]:
    """Runs of these flows come into a state of one of these names, and of the type that `state` has."""
    match = {_RUN: "prefect.flow-run.*", **(state or {})}
    expected = [f"prefect.flow-run.{name}" for name in states]
    return {**_reactive(expected, match, again, for_each), "match_related": related}


def _reactive(expect: Sequence[str], match: dict[str, str], again: float, for_each: Sequence[str]) -> dict[str, Any]:
    """The first event fires at once, and then none for so many seconds."""
    return {
        "type": "event",
        "posture": "Reactive",
        "match": match,
        "for_each": list(for_each),
        "expect": list(expect),
        "threshold": 1,
        "within": again,
    }


def _any(*triggers: dict[str, Any]) -> dict[str, Any]:
    return {"type": "compound", "require": "any", "within": None, "triggers": list(triggers)}


_STATE = "{{ event.resource['prefect.state-name'] }}"
_WHO = "{% if flow_run.parameters.user_id %} of learner {{ flow_run.parameters.user_id }}{% endif %}"
#: Subject and body by occasion: fixed words, names of flows and states, and the words of `troubles`.
_RUN_TEXTS = {
    Occasion.FAILED: (f"{{{{ flow.name }}}} failed: {_STATE}", f"The run{_WHO} has failed."),
    Occasion.CRASHED: (f"{{{{ flow.name }}}}: {_STATE}", f"The run{_WHO} has crashed: its process is gone."),
    Occasion.PAUSED: (
        f"{{{{ flow.name }}}} asks: {_STATE}",
        f"The run{_WHO} waits for an answer, or has ended without a yes. `retirement status` shows open questions.",
    ),
}
_TROUBLE_SUBJECTS = {
    Occasion.DEADLINE: "deadlines at risk",
    Occasion.BREAKER: "a service is not called",
    Occasion.RECEIPT: "erasures are not confirmed",
    Occasion.SCHEDULE: "scheduled runs do not come",
}


def _message(occasion: Occasion, block: UUID, ui_url: str) -> dict[str, Any]:
    if texts := _RUN_TEXTS.get(occasion):
        subject, what = texts
        body = f"{what}\n{ui_url}/runs/flow-run/{{{{ flow_run.id }}}}"
    else:
        subject = _TROUBLE_SUBJECTS[occasion]
        more = f"`retirement status` says more, and {ui_url}/artifacts has the page of the day."
        body = f"{{{{ event.payload.text }}}}\n{more}"
    return {
        "type": "send-notification",
        "block_document_id": str(block),
        "subject": f"Retirement: {subject}",
        "body": body,
    }


@dataclass
class Applied:
    """What was done on the server: names of automations, and the channels that it did not know before."""

    made: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    off: list[str] = field(default_factory=list)  #: switched off by hand
    new_channels: list[ChannelSettings] = field(default_factory=list)


async def apply(
    channels: Sequence[ChannelSettings] = (), *, source: str = "", ui_url: str = "", seconds: int | None = None
) -> Applied:
    """Puts channels and automations on the server, brings those up to date that are there, removes what is left over.

    `source` is the configuration file, for messages. `seconds` of silence are by default `SILENT_SECONDS`, and more
    where this process' heartbeats are rarer. Raises `ConfigError`.
    """
    heartbeat = get_current_settings().flows.heartbeat_frequency or 0
    wanted = silence_automations(seconds or max(SILENT_SECONDS, 3 * int(heartbeat) + 60))
    done = Applied()
    async with get_client() as client:
        placed: list[Placed] = await kept_channels.place(client, channels, source)
        done.new_channels += [each.channel for each in placed if each.is_new]
        for each in placed:
            wanted += telling_automations(each.channel, each.block, ui_url)
        for automation in wanted:
            await _put(client, AutomationCore.model_validate(automation), done)
        await _remove(client, {each["name"] for each in wanted}, done)
    return done


async def _put(client: PrefectClient, automation: AutomationCore, done: Applied) -> None:
    found = await client.read_automations_by_name(automation.name)
    if not found:
        await client.create_automation(automation)
        done.made.append(automation.name)
        return
    there, *more = found
    for each in more:
        await client.delete_automation(each.id)
    wanted = automation.model_copy(update={"enabled": there.enabled})
    if not there.enabled:
        done.off.append(automation.name)
    if _plain(there) == _plain(wanted):
        done.unchanged.append(automation.name)
        return
    await client.update_automation(there.id, wanted)
    done.updated.append(automation.name)


def _plain(automation: AutomationCore) -> Any:
    """What an automation does, without the ids that the server gives to it and to its triggers."""
    return _without_ids(AutomationCore.model_validate(automation.model_dump()).model_dump(mode="json"))


def _without_ids(value: Any) -> Any:
    """Without regard to order: some lists are sets on the server, and its database orders keys in a way of its own."""
    if isinstance(value, dict):
        return {name: _without_ids(value[name]) for name in sorted(value) if name != "id"}
    if isinstance(value, list):
        return sorted((_without_ids(each) for each in value), key=repr)
    return value


async def _remove(client: PrefectClient, wanted: set[str], done: Applied) -> None:
    """Removes those that tell a channel, or of an occasion, that is in the file no more."""
    page = 200
    found: list[Automation] = []
    while more := await client.read_automations(limit=page, offset=len(found)):
        found += more
    for each in found:
        if each.name.startswith(_TELLS) and each.name not in wanted:
            await client.delete_automation(each.id)
            done.removed.append(each.name)
