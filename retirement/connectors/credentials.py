"""Credentials: certificates of programs and the names on them.

Contract of the services, section A2. The public service has no `user/retire`; `replace_usernames` renames
and, since August 2026, blanks the names (later builds the e-mail as well).

Its code: https://github.com/openedx/credentials
"""

from retirement.connectors import Identity, Outcome, operation, private_route
from retirement.connectors.shared.renaming import RenamingConnector, renaming_operation, replace_username
from retirement.learner import Learner

RETIRE = "/user/retire/"
REPLACE = "/api/v2/replace_usernames/"


class Credentials(RenamingConnector):
    """The credentials service."""

    service = "CREDENTIALS"
    renames = REPLACE

    @renaming_operation(REPLACE)
    async def replace_usernames(self, learner: Learner) -> Outcome:
        """Put the retired username on the account and its credentials; newer releases blank the names too."""
        return await replace_username(self.api, REPLACE, learner)

    @operation(Identity.USERNAME, route=("POST", RETIRE), finds_by_username=True, absent_on_404=True, status_only=True)
    async def retire_learner(self, learner: Learner) -> Outcome:
        """Retire the account through a route that only private builds have; a stock service lacks it."""
        await self.api.post(RETIRE, json={"username": learner.username}, judge=private_route)
        return Outcome.ERASED
