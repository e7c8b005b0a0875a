"""Demographics: what the learner said about themselves, found by LMS user id. The service is private.

Contract of the services, sections A9 and A15. Only what the reference driver did is known: success is any 2xx,
and 404 means that there was nothing. A 404 that is not JSON is a missing route, and proves nothing.
"""

from retirement.connectors import Connector, Identity, Outcome, operation, private_route
from retirement.learner import Learner

RETIRE = "/demographics/api/v1/retire_demographics/"


class Demographics(Connector):
    """The demographics service."""

    service = "DEMOGRAPHICS"

    @operation(Identity.USER_ID, route=("POST", RETIRE), absent_on_404=True, status_only=True)
    async def retire_learner(self, learner: Learner) -> Outcome:
        """Delete the learner's demographic answers."""
        await self.api.post(RETIRE, json={"lms_user_id": learner.user_id}, judge=private_route)
        return Outcome.ERASED
