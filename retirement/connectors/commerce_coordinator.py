"""commerce-coordinator: the customer in Commercetools, found by LMS user id.

Contract of the services, section A10. Names, e-mail and username of the customer become digests; orders,
addresses and what Stripe holds are not touched. That there is no customer is answered in the same way as an
erasure, so `absent` never comes of it. Two kinds of 400: a body that it does not take, and a call to
Commercetools that failed and may work later. The route wants staff of the service.
"""

from typing import NoReturn

from retirement.connectors import Connector, Identity, Limits, Outcome, Rate, operation
from retirement.errors import Misconfigured, Refused, Transient
from retirement.http import Reply
from retirement.learner import Learner

RETIRE = "/lms/user_retirement/"
#: What stands in a 400, as JSON text.
BAD_BODY, UPSTREAM_FAILED = "Invalid input provided", "returning order"
BROKEN = "its code failed on this customer: one without a first name needs its data repaired"


class CommerceCoordinator(Connector):
    """The commerce-coordinator service."""

    service = "COMMERCE_COORDINATOR"
    #: The default of its throttle, which counts by user.
    limits = Limits(rates={f"POST {RETIRE}": Rate(75, 60)})

    @operation(Identity.USER_ID, route=("POST", RETIRE))
    async def retire_learner(self, learner: Learner) -> Outcome:
        """Replace names, e-mail and username of the customer in Commercetools by digests; orders stay."""
        try:
            await self.api.post(RETIRE, json={"edx_lms_user_id": learner.user_id}, judge=self._meant)
        except Transient as error:
            if error.reason == BROKEN:
                # An error of its own that stays, while the service answers, is this customer's.
                raise Refused(error.service, error.request, error.status, BROKEN) from None
            raise
        return Outcome.ERASED

    def _meant(self, reply: Reply) -> None:
        """What an answer means by the contract, where the general table has it otherwise."""
        if reply.status == 404:
            # Nobody of that id is a success here: only a route can be missing.
            self._fails(Misconfigured, reply, "no such route: wrong base URL, or a release without it")
        if reply.status == 400 and reply.says(UPSTREAM_FAILED):
            self._fails(Transient, reply, "its call to Commercetools failed")
        if reply.status == 400 and reply.says(BAD_BODY):
            self._fails(Misconfigured, reply, "it does not take this kind of request")
        if reply.status == 500 and reply.kind == "json":
            # A page would be a server in trouble. The view's own text is tried again all the same.
            self._fails(Transient, reply, BROKEN)
        if 200 <= reply.status < 300 and reply.kind == "json":
            self._fails(Refused, reply, "an empty answer is due")

    def _fails(self, kind: type[Misconfigured | Transient | Refused], reply: Reply, reason: str) -> NoReturn:
        raise kind(self.api.service, f"POST {RETIRE}", reply.status, reason)
