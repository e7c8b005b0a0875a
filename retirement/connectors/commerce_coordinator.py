"""commerce-coordinator: the customer in Commercetools, found by LMS user id.

Contract of the services, section A10. Names, e-mail and username of the customer become digests; orders,
addresses and what Stripe holds are not touched. That there is no customer is answered in the same way as an
erasure, so `absent` never comes of it. Two kinds of 400: a body that it does not take, and a call to
Commercetools that failed and may work later. The route wants staff of the service.

Its code: https://github.com/edx/commerce-coordinator
"""

from retirement.connectors import Connector, Identity, Limits, Outcome, Rate, empty_only, nothing, operation
from retirement.errors import Refused, Transient
from retirement.learner import Learner
from retirement.wire.meanings import Meaning, meanings
from retirement.wire.reply import Reply

RETIRE = "/lms/user_retirement/"
#: What stands in a 400, as JSON text.
BAD_BODY, UPSTREAM_FAILED = "Invalid input provided", "returning order"
BROKEN = "its code failed on this customer: one without a first name needs its data repaired"
_raise_by_contract = meanings(
    # An unknown id is a success here: only a route can be missing.
    Meaning(404, Reply.misconfigured, "no such route: wrong base URL, or a release without it"),
    Meaning(400, Reply.transient, "its call to Commercetools failed", says=UPSTREAM_FAILED),
    Meaning(400, Reply.misconfigured, "it does not take this kind of request", says=BAD_BODY),
    # A page would be a server in trouble. The view's own text is tried again all the same.
    Meaning(500, Reply.transient, BROKEN, kind="json"),
)


class CommerceCoordinator(Connector):
    """The commerce-coordinator service."""

    service = "COMMERCE_COORDINATOR"
    #: The default of its throttle, which counts by user.
    limits = Limits(rates={f"POST {RETIRE}": Rate(75, 60)})

    @operation(Identity.USER_ID, route=("POST", RETIRE), success=nothing())
    async def retire_learner(self, learner: Learner) -> Outcome:
        """Replace names, e-mail and username of the customer in Commercetools by digests; orders stay."""
        try:
            await self.api.post(RETIRE, json={"edx_lms_user_id": learner.user_id}, judge=_meant)
        except Transient as error:
            if error.reason == BROKEN:
                # An error of its own that stays, while the service answers, is this customer's.
                raise Refused(error.service, error.request, error.status, BROKEN) from None
            raise
        return Outcome.ERASED


def _meant(reply: Reply) -> None:
    """What an answer means by the contract, where the general table has it otherwise."""
    _raise_by_contract(reply)
    empty_only(reply)
