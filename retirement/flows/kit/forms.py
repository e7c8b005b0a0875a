"""A form on the page of a paused run in Prefect's UI: shown, answered there or by API, and taken away again.

The mechanism alone. What is asked, and what becomes of an answer, is in `approval` (a run that waits for it) and
in `manual` (a run that is only a record). Prefect keeps what was typed until `forget`, and no longer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, FlowRunInput, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.input import RunInput, keyset_from_paused_state
from prefect.states import Paused
from pydantic import ConfigDict, StringConstraints, ValidationError

from retirement.ledger import Ledger
from retirement.privacy import PATTERN

#: Most inputs of one run that are read; a form has three.
_PAGE = 200

#: What a person types and the ledger keeps.
Typed = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=PATTERN)]


class Form(RunInput):
    """The fields of a form. Prefect checks what is submitted against them, in the UI and in the API alike."""

    # The pattern looks ahead, which pydantic's own engine cannot.
    model_config = ConfigDict(regex_engine="python-re")


Fields = TypeVar("Fields", bound=Form)


@dataclass(frozen=True, slots=True)
class Submission(Generic[Fields]):
    """A form that was submitted to a run: as it is read, and as Prefect keeps it, under which key."""

    form: Fields
    run: str
    key: str
    given: Mapping[str, Any]

    async def person(self, ledger: Ledger | None) -> str | None:
        """Who has submitted it at the door, None for a form that was posted past it.

        Prefect has one credential and no people, so what is in its database says nothing of who put it there.
        """
        return None if ledger is None else await ledger.passed.person(self.run, self.key, self.given)


@dataclass(frozen=True)
class Forms(Generic[Fields]):
    """The forms of one kind: `key` tells their pauses from those of other kinds."""

    key: str
    fields: type[Fields]

    async def show(
        self,
        client: PrefectClient,
        run: UUID,
        text: str,
        *,
        fields: type[Fields] | None = None,
        seconds: int | None = None,
        why: str | None = None,
    ) -> None:
        """Pauses a run and shows the form on its page, with a text in Markdown above the fields.

        `fields` are by default those of every form of the kind. Prefect fails the run after so many `seconds`. `why`
        is the message of the state.
        """
        state: State[None] = Paused(timeout_seconds=seconds, pause_key=f"{self.key}-{uuid4().hex}", message=why)
        keys: dict[str, str] = {str(use): key for use, key in keyset_from_paused_state(state).items()}
        state.state_details.run_input_keyset = keys
        answer = await client.set_flow_run_state(run, state)
        if answer.status is not SetStateStatus.ACCEPT:
            raise RuntimeError("Prefect does not let this run pause")
        # After the pause, for which Prefect 3.9 deletes what is there; until then it accepts no answer. By this client:
        # those that Prefect's own `save` opens outlive the event loop that they were opened in.
        for use, what in (("schema", (fields or self.fields).model_json_schema()), ("description", text)):
            await client.create_flow_run_input(run, key=keys[use], value=json.dumps(what))

    async def submissions(
        self, client: PrefectClient, run: UUID, *, fields: type[Fields] | None = None
    ) -> list[Submission[Fields]]:
        """What was submitted and fits the fields, by default those of every form of the kind."""
        found = [each for each in await self._inputs(client, run) if each.key.endswith("-response")]
        read = [(each, _read(fields or self.fields, each.decoded_value)) for each in found]
        return [Submission(form, str(run), each.key, each.decoded_value) for each, form in read if form is not None]

    async def forget(self, client: PrefectClient, run: UUID) -> None:
        """Takes forms and answers out of Prefect: what was typed belongs to the ledger, which withholds names."""
        for each in await self._inputs(client, run):
            await client.delete_flow_run_input(run, each.key)

    async def stands(self, client: PrefectClient, run: FlowRun) -> bool:
        """Whether a run shows a form of this kind; what showed it may have died between the pause and the form."""
        paused = run.state is not None and run.state.is_paused()
        return paused and any(each.key.endswith("-description") for each in await self._inputs(client, run.id))

    @property
    def _prefix(self) -> str:
        return f"paused-{self.key}-"

    async def _inputs(self, client: PrefectClient, run: UUID) -> list[FlowRunInput]:
        found: list[FlowRunInput] = await client.filter_flow_run_input(
            run, key_prefix=self._prefix, limit=_PAGE, exclude_keys=set()
        )
        return found


def _read(fields: type[Fields], value: Any) -> Fields | None:
    try:
        return fields(**value) if isinstance(value, dict) else None
    except ValidationError:
        # Nothing that the form lets through; its text could name a learner, so it is not shown.
        return None
