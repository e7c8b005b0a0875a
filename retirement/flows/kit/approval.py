"""A person's yes or no in the middle of a queue run: a form on the run's page, or a command.

Question and answer live in the ledger (`retirement.queue.consent`), and Prefect only shows the form. The run waits
in its own process and looks for both; where it ends before the answer comes, the next queue run asks on or acts on
the answer. Only a complete yes is a yes: no answer by the time limit, a cancelled run and a run that was resumed
without the form all call no service. Nothing personal of a learner belongs into a question.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled
from pydantic import Field, create_model

from retirement.config import Configuration, GuardSettings
from retirement.errors import GuardStopped, SamePerson, StateConflict
from retirement.flows.kit import asking
from retirement.flows.kit.asking import LOOK_SECONDS, Over
from retirement.flows.kit.forms import Form, Forms, Submission, Typed
from retirement.learner import Learner
from retirement.ledger import Asked, Ledger, Said, question_scope
from retirement.privacy import as_markdown
from retirement.process import acting
from retirement.queue import consent
from retirement.queue.consent import Consent
from retirement.queue.intake import Intake
from retirement.site import Site

Keep = Callable[[Said], Awaitable[None]]


@dataclass(frozen=True)
class Text:
    """What a form says, and the numbers that it offers."""

    guards: tuple[str, ...]  #: why the run asks, a fixed sentence each
    depth: int  #: learners who wait
    most: int  #: learners of the question
    how_many: int  #: learners that the run would retire
    first: str = ""  #: what a first yes says where two people are needed

    @property
    def markdown(self) -> str:
        """The question, as the form shows it above its fields."""
        why = "\n".join(f"- {as_markdown(guard, code=True)}" for guard in self.guards)
        return (
            f"**Retire {self.how_many} of the {self.depth} learners who wait?** This run has called no service yet.\n\n"
            f"It asks because:\n\n{why}\n\n{self._first}"
            "Retiring cannot be undone. Submitted with *Approve* switched off, this form rejects the run."
        )

    @property
    def _first(self) -> str:
        return f"**{as_markdown(self.first, code=True)}**\n\n" if self.first else ""


class ApprovalForm(Form):
    """What a person says of a run that asks."""

    approve: bool = Field(False, title="Approve", description="On: retire them. Off: reject the run.")
    approver: Typed = Field(title="Your name", description="Who answers for this; kept in the ledger. No address.")
    reason: Typed = Field(title="Reason", description="Why this is right; kept in the ledger. Name no learner.")
    how_many: int = Field(0, title="How many", description="Learners to retire at most.")

    @property
    def said(self) -> Said:
        """The answer as the ledger keeps it."""
        if self.approve:
            return Said("approved", self.approver, self.reason, self.how_many, "form")
        return Said("rejected", self.approver, self.reason, None, "form")


#: The forms of approvals.
_forms = Forms("approval", ApprovalForm)


@dataclass(frozen=True)
class Asking:
    """A queue run that may have to ask. `tell` is given the question before the run waits; `waits`: whether it does."""

    site: Site
    configuration: Configuration
    run_id: str
    tell: Callable[[Asked], None]
    waits: bool

    async def consent(self, intake: Intake, most: int) -> Consent:
        """The learners that an answer lets this run retire. Raises `GuardStopped` without a yes."""
        ledger, guard = self.site.ledger, self.configuration.guard
        if asked := await consent.standing(ledger, intake):
            return await consent.act(ledger, asked, intake, self.run_id)
        if not guard.wait_hours:
            raise await consent.stopped(ledger, intake, self.run_id)
        asked = await consent.open_question(ledger) or await self._new_question(intake, most)
        lease = await ledger.leases.take(question_scope(asked.id), what=f"question {asked.id}")
        try:
            asked = await self._ours(await ledger.decisions.one(asked.id))
            self.tell(asked)
            if not self.waits and asked.decision.answer is None:
                raise consent.left_open(asked, intake)
            asked = await self._answer(asked, intake.waiting)
            return await consent.act(ledger, asked, intake, self.run_id)
        finally:
            await ledger.leases.release(lease)

    async def _new_question(self, intake: Intake, most: int) -> Asked:
        wanted = min(most, len(intake.waiting))
        return await consent.new_question(self.site.ledger, self.configuration.guard, intake, self.run_id, wanted)

    async def _ours(self, asked: Asked) -> Asked:
        """The question as this run asks it, once the ledger has what was typed for the dead run before it.

        In this order: the ledger names one run, and the form of a run that it names no more is not found again.
        """
        before = asked.question.run_id
        if before == self.run_id:
            return asked
        await _harvest(self.site, self.configuration.guard, asked, before)
        await _end(before, asked)
        return await consent.taken_up(self.site.ledger, asked, self.run_id)

    async def _answer(self, asked: Asked, learners: Collection[Learner]) -> Asked:
        """Waits for the first answer, by the form or in the ledger; the question as it stands then."""
        ledger = self.site.ledger

        async def over() -> bool:
            decision = (await ledger.decisions.one(asked.id)).decision
            return decision.answer is not None or ledger.now() >= decision.expires_at

        submitted: list[Said] = []

        async def keep(said: Said) -> None:
            submitted.append(said)
            await _enter(ledger, self.configuration.guard, asked, said, learners)

        seconds = (asked.decision.expires_at - ledger.now()).total_seconds()
        await ask(_text(asked), over, keep, seconds=max(seconds, 0.0), ledger=ledger)
        after = await ledger.decisions.one(asked.id)
        if after.decision.answer is None and ledger.now() >= after.decision.expires_at:
            return await consent.close(ledger, after)
        if after.decision.answer is None and submitted:
            return await self._answer(after, learners)  # the form stands again, for another person
        return after


async def ask(
    text: Text,
    over: Over,
    keep: Keep,
    *,
    seconds: float,
    every: float = LOOK_SECONDS,
    ledger: Ledger | None = None,
) -> None:
    """Shows the form of an approval on the page of the flow run that this is called in; see `asking.ask`."""

    async def said(form: ApprovalForm) -> None:
        await keep(form.said)

    why = f"asks whether to retire {text.how_many} of {text.depth}: {'; '.join(text.guards)}"
    shown = partial(asking.ask, _forms, text.markdown, over, said, fields=_fields(text))
    await shown(seconds=seconds, every=every, why=why, ledger=ledger)


async def take_over(site: Site, guard: GuardSettings) -> None:
    """Takes what was typed into the forms of dead runs, and ends those that have no question now."""
    live = await site.ledger.leases.live()
    for asked in await site.ledger.decisions.current():
        if question_scope(asked.id) in live:
            continue
        await _harvest(site, guard, asked, asked.question.run_id)
        after = await site.ledger.decisions.one(asked.id)
        if not after.is_open(site.ledger.now()):
            await _end(asked.question.run_id, after)


async def _harvest(site: Site, guard: GuardSettings, asked: Asked, run_id: str) -> None:
    """Takes over what was typed into the form of a dead run, if Prefect has that run."""
    forms: list[Submission[ApprovalForm]] = []
    async with get_client() as client:
        with suppress(ObjectNotFound, ValueError):
            forms = await _forms.submissions(client, UUID(run_id), fields=_fields(_text(asked)))
    for form in forms:
        with acting("form", run_id, await form.person(site.ledger)):
            await _enter(site.ledger, guard, asked, form.form.said, await consent.nameable(site, asked))


async def _enter(ledger: Ledger, guard: GuardSettings, asked: Asked, said: Said, learners: Collection[Learner]) -> None:
    try:
        await consent.answered(ledger, asked, said, guard, learners)
    except (StateConflict, SamePerson) as refused:  # another answer was first, or this one; both are entered
        get_run_logger().warning("%s", refused)


async def _end(run_id: str, asked: Asked) -> None:
    """Takes the form from the page of a dead run, and ends the run where it looks alive."""
    async with get_client() as client:
        with suppress(ObjectNotFound, ValueError):
            run = await client.read_flow_run(UUID(run_id))
            await _forms.forget(client, run.id)
            if run.state and not run.state.is_final():
                message = f"its process is gone; question {asked.id} is in the ledger, and another run acts on it"
                await client.set_flow_run_state(run.id, Cancelled(name=GuardStopped.__name__, message=message))


def _text(asked: Asked) -> Text:
    decision, about = asked.decision, asked.question
    most = max(len(about.user_ids), 1)
    return Text(decision.trips, decision.depth, most, about.wanted, consent.one_of_two(asked))


def _fields(text: Text) -> type[ApprovalForm]:
    """The form with the numbers of one question."""
    how_many = Field(
        text.how_many,
        ge=1,
        le=text.most,
        title="How many",
        description=f"Learners to retire at most, least time left first, from 1 to {text.most}.",
    )
    return create_model("Approval", __base__=ApprovalForm, how_many=(int, how_many))
