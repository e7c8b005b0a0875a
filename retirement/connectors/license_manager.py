"""License manager: enterprise licences assigned to the learner.

Contract of the services, section A4. A 404 means that no user row was left; the licences have been
scrubbed in the same call all the same. A licence that was assigned by e-mail and never activated is not
found by this call.

Its code: https://github.com/openedx/license-manager
"""

from retirement.connectors import Connector, Identity, Outcome, empty_only, nothing, operation
from retirement.learner import Learner

RETIRE = "/api/v1/retire_user"


class LicenseManager(Connector):
    """The license manager service."""

    service = "LICENSE_MANAGER"

    @operation(
        Identity.USER_ID,
        Identity.USERNAME,
        route=("POST", RETIRE),
        finds_by_username=True,
        destroys_username=True,
        absent_on_404=True,
        success=nothing(),
    )
    async def retire_learner(self, learner: Learner) -> Outcome:
        """Take the learner off all licences and delete their account there."""
        body = {"lms_user_id": learner.user_id, "original_username": learner.username}
        await self.api.post(RETIRE, json=body, judge=empty_only)
        return Outcome.ERASED
