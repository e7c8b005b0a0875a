"""The two forms of a run of one learner: which learner, and whether what is shown shall be done.

What is typed into the first form may name the learner: it is in Prefect's database until the run has read it, it is
no parameter, and no log, state or artifact repeats it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from pydantic import Field, StringConstraints

from retirement.errors import ConfigError, GuardStopped
from retirement.flows.kit.asking import answer
from retirement.flows.kit.forms import Form, Forms
from retirement.flows.kit.parameters import Reason
from retirement.learner import Learner
from retirement.privacy import as_markdown
from retirement.retire.preview import Preview, preview
from retirement.site import Batch, Site
from retirement.site.by_name import Name, find
from retirement.site.watch import absence, locate

_WHICH = """\
**Which learner?** The LMS user id, the original username or the original e-mail address.

What you type is deleted from Prefect once the run has looked the learner up; the run goes on with the user id.
"""


class WhichForm(Form):
    """What the learner is looked up by."""

    learner: Annotated[str, StringConstraints(min_length=1, max_length=320)] = Field(
        title="Learner", description="User id, username or e-mail address."
    )


class ConfirmForm(Form):
    """Whether the learner who is shown is retired."""

    retire: bool = Field(False, title="Retire this learner", description="On: begin now. Off: end the run.")


class EarlyForm(ConfirmForm):
    """The same within the cool-off, where it takes a reason."""

    before_cool_off_is_over: Reason | None = Field(
        None,
        title="Before the cool-off is over",
        description="Why the learner is retired although the cool-off goes on. Without a reason the run refuses.",
    )


_which = Forms("which-learner", WhichForm)
_confirm = Forms("confirm-learner", ConfirmForm)


@dataclass(frozen=True)
class Choosing:
    """Asks the person who has started a run of one learner; `early` is the reason that the run was given."""

    site: Site
    batch: Batch
    cool_off: timedelta
    early: Reason | None

    async def learner(self, user_id: int | None) -> Learner | None:
        """The learner of that id, else the one that the form finds; None where the LMS has no such retirement."""
        if user_id is None:
            user_id = await self._typed()
        return await self.batch.learner(user_id) or await locate(self.site, user_id)

    async def _typed(self) -> int:
        """The user id of the learner who is typed into the form. Raises `ConfigError` where there is none."""
        wanted = (await answer(_which, _WHICH, WhichForm, self.site.ledger)).learner.strip()
        if wanted.isascii() and wanted.isdecimal():
            return int(wanted)
        return await find(self.site, Name("email" if "@" in wanted else "username", wanted))

    async def confirmed(self, learner: Learner) -> Reason | None:
        """Shows the learner and asks; the reason to begin before the cool-off is over.

        Raises `GuardStopped` unless the answer is yes, and while the cool-off goes on without a reason.
        """
        shown = await preview(self.site, self.batch, learner, self.cool_off)
        goes_on = shown.cool_off_until is not None and self.early is None
        fields = EarlyForm if goes_on else ConfirmForm
        form = await answer(_confirm, _text(shown), fields, self.site.ledger)
        if not form.retire:
            raise GuardStopped(f"nothing was called: learner {learner.user_id} was not confirmed in the form")
        return form.before_cool_off_is_over if isinstance(form, EarlyForm) else self.early


def _text(shown: Preview) -> str:
    lines = [*(f"- {as_markdown(fact, code=True)}" for fact in shown.facts), "- the steps of this run:"]
    lines += [f"  - {as_markdown(call, code=True)}" for call in shown.calls or ["none"]]
    head = f"**Retire learner {shown.user_id}?** This run has called no service yet."
    return "\n".join([head, "", *lines, "", "It cannot be undone."])


async def unknown(site: Site, user_id: int | None) -> str:
    """What to say where no learner was found; what was typed is not repeated."""
    if user_id is None:
        return "the LMS has no open retirement of the learner that was typed into the form"
    return await absence(site, user_id)


async def name_run(user_id: int) -> None:
    """Names the run after the learner that its form has found."""
    context = FlowRunContext.get()
    if context and context.flow_run:
        async with get_client() as client:
            await client.update_flow_run(context.flow_run.id, name=f"learner-{user_id}")


def require_user_id(user_id: int | None) -> int:
    """Raises `ConfigError` where a run that asks no person was given no learner."""
    if user_id is None:
        raise ConfigError("user_id: give it, or switch ask_first on, and the run asks in a form")
    return user_id
