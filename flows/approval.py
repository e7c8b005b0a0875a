"""A person's yes or no in the middle of a queue run: a form on the run's page, or `retirement approve`.

The run pauses in its own process and goes on when somebody has answered. Only a complete yes is a yes: no
answer by the time limit, a cancelled run and a run that was resumed without the form all mean no. Nothing
personal of a learner belongs into a question. Prefect keeps form and answer only until the run has read them.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.input import RunInput, keyset_from_paused_state
from prefect.states import Paused, Running
from pydantic import ConfigDict, Field, StringConstraints, create_model

from retirement.errors import ConfigError
from retirement.typed import PATTERN, REFUSAL, keepable

#: Marks the pauses that are questions of ours.
KEY = "approval"

#: Seconds after the time limit until Prefect itself fails a paused run whose process is gone.
GRACE_SECONDS = 300

_Said = Annotated[str, StringConstraints(min_length=1, pattern=PATTERN)]


@dataclass(frozen=True)
class Question:
    """What a run wants to know before it calls anybody."""

    guards: tuple[str, ...]  #: why it asks, a fixed sentence each
    depth: int  #: learners who wait
    how_many: int  #: learners whom it would retire

    @property
    def text(self) -> str:
        """The question in Markdown, as the form shows it above its fields."""
        why = "\n".join(f"- {guard}" for guard in self.guards)
        return (
            f"**Retire {self.how_many} of the {self.depth} learners who wait?** This run has called nobody yet.\n\n"
            f"It asks because:\n\n{why}\n\n"
            "Retiring cannot be undone. Submitted with *Approve* switched off, this form rejects the run."
        )


@dataclass(frozen=True)
class Answer:
    """What somebody said, or that nobody did."""

    approved: bool
    approver: str = ""
    reason: str = ""
    how_many: int = 0  #: learners to retire; nobody is retired on a no
    expired: bool = False  #: nobody answered by the time limit


class Approval(RunInput):
    """The form. Prefect checks what is submitted against it, in the UI and in the API alike."""

    # The pattern looks ahead, which pydantic's own engine cannot.
    model_config = ConfigDict(regex_engine="python-re")

    approve: bool = Field(False, title="Approve", description="On: retire them. Off: reject the run.")
    approver: _Said = Field(title="Your name", description="Who answers for this; kept in the ledger. No address.")
    reason: _Said = Field(title="Reason", description="Why this is right; kept in the ledger. Name no learner.")


def _form(question: Question) -> type[Approval]:
    how_many = Field(
        question.how_many,
        ge=1,
        le=max(question.depth, 1),
        title="How many",
        description=f"Learners to retire in this run, least time left first, from 1 to {question.depth}.",
    )
    model = create_model("Approval", __base__=Approval, how_many=(int, how_many))
    return model.with_initial_data(description=question.text)


async def ask(question: Question, *, seconds: float, every: float = 2.0) -> Answer:
    """Pauses the flow run that this is called in until somebody answers, for at most so many seconds.

    Looks for the answer `every` so many seconds. A cancellation of the task goes through it and is a no. A run
    that got a no has to end Cancelled: Prefect takes no other end from a run that is being cancelled.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("only a flow run can ask")
    async with get_client() as client:
        run = context.flow_run.id
        keys = await _pause(client, run, _form(question), seconds)
        try:
            in_time = await _answered(client, run, seconds, every)
            if not in_time:
                # From here on an answer comes too late; one that was faster has been kept.
                await client.set_flow_run_state(run, Running())
            if given := await _answer(client, run, keys["response"]):
                return given
        finally:
            await _forget(client, run, keys)
        if in_time:
            return Answer(False, reason="the run was cancelled or resumed without an answer")
        return Answer(False, reason="nobody answered in time", expired=True)


async def _answered(client: PrefectClient, run: UUID, seconds: float, every: float) -> bool:
    """Waits until the run is paused no more; False where the time is over before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await asyncio.sleep(min(every, max(deadline - time.monotonic(), 0)))
        found = await client.read_flow_run(run)
        if found.state and not found.state.is_paused():
            return True
    return False


async def _forget(client: PrefectClient, run: UUID, keys: dict[str, str]) -> None:
    """Takes form and answer out of Prefect: what somebody typed belongs to the ledger, which withholds names."""
    for key in keys.values():
        for each in await client.filter_flow_run_input(run, key_prefix=key, limit=1, exclude_keys=set()):
            await client.delete_flow_run_input(run, each.key)


async def _pause(client: PrefectClient, run: UUID, form: type[Approval], seconds: float) -> dict[str, str]:
    state: State[None] = Paused(timeout_seconds=int(seconds) + GRACE_SECONDS, pause_key=f"{KEY}-{uuid4().hex}")
    keys: dict[str, str] = {str(use): key for use, key in keyset_from_paused_state(state).items()}
    state.state_details.run_input_keyset = keys
    # The form is there before the pause that leads to it.
    await form.asave(keyset_from_paused_state(state), flow_run_id=run)
    answer = await client.set_flow_run_state(run, state)
    if answer.status is not SetStateStatus.ACCEPT:
        raise RuntimeError("Prefect does not let this run pause")
    return keys


async def _answer(client: PrefectClient, run: UUID, key: str) -> Answer | None:
    found = await client.filter_flow_run_input(run, key_prefix=key, limit=1, exclude_keys=set())
    if not found:
        return None
    given = found[0].decoded_value
    approved = given.get("approve") is True
    return Answer(approved, given["approver"], given["reason"], given["how_many"] if approved else 0)


async def answer(run_id: str, given: Answer) -> None:
    """Answers the question of a paused run, as its form would; `how_many` 0 leaves the run's own number.

    Raises `ConfigError` for an answer without approver or reason and where no run waits for it.
    """
    if not (given.approver.strip() and given.reason.strip()):
        raise ConfigError("an answer needs the name of who gives it and a reason")
    if not (keepable(given.approver) and keepable(given.reason)):
        raise ConfigError(f"approver, reason: {REFUSAL}")
    said: dict[str, Any] = {"approve": given.approved, "approver": given.approver, "reason": given.reason}
    async with get_client() as client:
        run = await _asking(client, run_id)
        form = await client.read_flow_run_input(run.id, _keys(run)["schema"])
        number = json.loads(form)["properties"]["how_many"]
        said["how_many"] = given.how_many or number["default"]
        if not number["minimum"] <= said["how_many"] <= number["maximum"]:
            raise ConfigError(f"run {run_id} can retire 1 to {number['maximum']} learners")
        result = await client.resume_flow_run(run.id, said)
    if result.status is SetStateStatus.REJECT:
        raise ConfigError(f"run {run_id}: Prefect does not take this answer")
    if result.status is not SetStateStatus.ACCEPT:
        raise ConfigError(f"run {run_id} has been answered or stopped meanwhile")


async def _asking(client: PrefectClient, run_id: str) -> FlowRun:
    try:
        run = await client.read_flow_run(UUID(run_id))
    except (ValueError, ObjectNotFound):
        raise ConfigError(f"there is no run {run_id}; a run is named by the id in its page's address") from None
    if run.state is None or not run.state.is_paused():
        raise ConfigError(f"run {run_id} waits for no answer: it is {run.state_name}")
    if not _keys(run).get("schema", "").startswith(f"paused-{KEY}-"):
        raise ConfigError(f"run {run_id} is paused for something else than an approval")
    return run


def _keys(run: FlowRun) -> dict[str, str]:
    return (run.state.state_details.run_input_keyset if run.state else None) or {}
