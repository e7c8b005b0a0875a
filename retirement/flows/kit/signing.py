"""The form by which a person gives a reason and a name for what a run is about to enter in the ledger.

Neither is a parameter: Prefect would keep it for good.
"""

from pydantic import Field

from retirement.flows.kit.asking import answer
from retirement.flows.kit.forms import Form, Forms, Typed
from retirement.ledger import Ledger


class SignedForm(Form):
    """Who does it and why, and that it shall be done."""

    go_on: bool = Field(False, title="Do it", description="On: enter it in the ledger. Off: end the run.")
    by: Typed = Field(title="Your role or login", description="Who answers for this; kept in the ledger. No address.")
    reason: Typed = Field(title="Reason", description="Why this is right; kept in the ledger. Name no learner.")


_forms = Forms("signed", SignedForm)


async def submitted(what: str, ledger: Ledger) -> SignedForm:
    """Shows what is about to be done, in a sentence; the form, yes or no. Raises `GuardStopped` where none comes."""
    return await answer(_forms, f"**{what}**\n\nNothing was entered yet.", SignedForm, ledger)


async def signed(what: str, ledger: Ledger) -> SignedForm | None:
    """The same; the form where the answer is yes, None where it is no."""
    form = await submitted(what, ledger)
    return form if form.go_on else None
