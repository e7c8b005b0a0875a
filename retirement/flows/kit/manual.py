"""What only a person can do, as a form on a page of Prefect's UI that no worker and no process waits for.

Each open receipt of a manual step gets a run of its own that is Paused and never executed: it is a record with a
form. A job that runs now and then, `verify_erasure`, makes the forms that are missing, reads the answers,
keeps them in the ledger, and then ends the run. A form that is submitted with *Done* switched off asks again.
Prefect keeps what a person typed only until the run is ended.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Completed, Running
from pydantic import Field

from retirement.connectors import Connector
from retirement.connectors.manual import Manual
from retirement.flows.kit.forms import Form, Forms, Submission, Typed
from retirement.ledger import Receipt
from retirement.privacy import as_markdown

#: Marks the runs that are tasks of ours.
TAG = "manual-task"
#: States of a run whose receipt is open: it asks, or it has been answered.
_OPEN = [StateType.PAUSED, StateType.RUNNING]
#: Tags can be given to a run of any flow, and then another permission would answer the form.
_OURS = FlowFilter(name=FlowFilterName(any_=[TAG]))
#: Most runs that Prefect lists at once.
_PAGE = 200


class EvidenceForm(Form):
    """What a person says of a task."""

    done: bool = Field(False, title="Done", description="On: it is done. Off: ask again.")
    done_by: Typed = Field(title="Your name", description="Who answers for this; kept in the ledger. No address.")
    evidence: Typed = Field(title="Evidence", description="Such as a ticket; kept in the ledger. Name no learner.")


#: The forms of manual tasks.
_forms = Forms("manual", EvidenceForm)


@dataclass(frozen=True, slots=True)
class OpenTask:
    """What a person has to do for one learner; `reference` is the receipt under which evidence is kept."""

    reference: str
    user_id: int
    step: str
    service: str
    text: str
    due_at: datetime

    @property
    def question(self) -> str:
        """What stands above the form, in Markdown."""
        return (
            f"{_as_typed(self.text)}\n\nLearner {self.user_id} (the LMS user id), for {as_markdown(self.service)}, "
            f"due by {self.due_at:%Y-%m-%d}.\n\n"
            "Submit this form when it is done. What you type is kept for good: name no learner in it."
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """That it is done: who says so and what proves it, for the receipt of this reference."""

    reference: str
    done_by: str
    evidence: str
    submission: Submission[EvidenceForm] = field(repr=False, compare=False)


def _as_typed(text: str) -> str:
    """A text of the configuration in bold, line by line, and no markup whatever it has."""
    return "\\\n".join(f"**{as_markdown(line)}**" for line in text.splitlines() if line.strip())


def tasks_of(receipts: Iterable[Receipt], connectors: Mapping[str, Connector]) -> list[OpenTask]:
    """The tasks among open receipts; `connectors` are those of the site, by service."""
    return [
        OpenTask(
            each.reference, each.user_id, each.step, each.service, connector.task, each.received_at + connector.due
        )
        for each in receipts
        if isinstance(connector := connectors.get(each.service), Manual) and each.result is None
    ]


@flow(name=TAG, persist_result=False)
def manual_task() -> None:
    """Gives its runs their name. They are records: nothing executes them."""


async def open_tasks(open_receipts: Iterable[OpenTask]) -> None:
    """Makes the forms that are missing, one for each task, and asks again where the answer was no evidence."""
    async with get_client() as client:
        there = {_reference(run): run async for run in _runs(client)}
        for task in {each.reference: each for each in open_receipts}.values():
            run = there.get(task.reference)
            if run is None:
                run = await _new_run(client, task)
            elif await _is_answered_or_asks(client, run):
                continue
            # What died before it asked, went on without the form, or says that it is not done.
            await _forms.forget(client, run.id)
            if _is_paused(run):
                await client.set_flow_run_state(run.id, Running())
            await _forms.show(client, run.id, task.question)


async def _new_run(client: PrefectClient, task: OpenTask) -> FlowRun:
    name, tags = f"learner-{task.user_id} {task.step}", [TAG, _tag(task.reference)]
    return await client.create_flow_run(manual_task, name=name, tags=tags, state=Running())


async def _is_answered_or_asks(client: PrefectClient, run: FlowRun) -> bool:
    """Whether the form of a run is there, or was submitted as done."""
    return await _forms.stands(client, run) or await _evidence(client, run) is not None


async def answers() -> list[Evidence]:
    """What was submitted as done. It stays until `settle`, so that nothing is lost on its way to the ledger."""
    async with get_client() as client:
        given = [await _evidence(client, run) async for run in _runs(client) if not _is_paused(run)]
    return [each for each in given if each is not None]


async def references() -> set[str]:
    """The receipts that have a form, answered or not."""
    async with get_client() as client:
        return {_reference(run) async for run in _runs(client)}


async def settle(reference: str) -> None:
    """Ends the run of a receipt that has its evidence, wherever that came from; none is there: nothing to do."""
    async with get_client() as client:
        for run in [run async for run in _runs(client, _tag(reference))]:
            await _forms.forget(client, run.id)
            await client.set_flow_run_state(run.id, Completed(name="Done", message="the ledger has the evidence"))


async def _runs(client: PrefectClient, *tags: str) -> AsyncIterator[FlowRun]:
    """The runs that are open, with these tags too."""
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG, *tags]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN)),
    )
    found: list[FlowRun] = []
    # Before anything is done with one of them, since what is done moves the others to other pages.
    while page := await client.read_flow_runs(
        flow_filter=_OURS, flow_run_filter=wanted, limit=_PAGE, offset=len(found)
    ):
        found += page
    for run in found:
        yield run


def _tag(reference: str) -> str:
    return f"receipt:{reference}"


def _reference(run: FlowRun) -> str:
    return next((tag.partition(":")[2] for tag in run.tags if tag.startswith(_tag(""))), "")


def _is_paused(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_paused()


async def _evidence(client: PrefectClient, run: FlowRun) -> Evidence | None:
    """What was submitted as done, None for anything else."""
    said = next((each for each in await _forms.submissions(client, run.id) if each.form.done), None)
    return Evidence(_reference(run), said.form.done_by, said.form.evidence, said) if said else None
