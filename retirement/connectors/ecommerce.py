"""Ecommerce, archived upstream: orders, addresses and the learner's account there.

Contract of the services, section A1. The public service has no `user/retire`; `replace_usernames` changes
the username only, so e-mail, name and addresses stay.

Its code: https://github.com/openedx-unsupported/ecommerce
"""

from retirement.connectors import Identity, Outcome, operation, private_route
from retirement.connectors.shared.renaming import RenamingConnector, renaming_operation, replace_username
from retirement.learner import Learner

RETIRE = "/api/v2/user/retire/"
REPLACE = "/api/v2/user_management/replace_usernames/"


class Ecommerce(RenamingConnector):
    """The ecommerce service."""

    service = "ECOMMERCE"
    renames = REPLACE

    @renaming_operation(REPLACE)
    async def replace_usernames(self, learner: Learner) -> Outcome:
        """Put the retired username on the account; e-mail, name and addresses stay in the service."""
        return await replace_username(self.api, REPLACE, learner)

    @operation(Identity.USERNAME, route=("POST", RETIRE), finds_by_username=True, absent_on_404=True, status_only=True)
    async def retire_learner(self, learner: Learner) -> Outcome:
        """Retire the account through a route that only private builds have; a stock service lacks it."""
        await self.api.post(RETIRE, json={"username": learner.username}, judge=private_route)
        return Outcome.ERASED
