"""Course discovery: the catalogue's own user table.

Contract of the services, section A3: there is no retirement, only the username can be replaced; e-mail and
full name stay.

Its code: https://github.com/openedx/course-discovery
"""

from retirement.connectors import Outcome
from retirement.connectors.shared.renaming import RenamingConnector, renaming_operation, replace_username
from retirement.learner import Learner

REPLACE = "/api/v1/replace_usernames/"


class Discovery(RenamingConnector):
    """The course discovery service."""

    service = "DISCOVERY"
    renames = REPLACE

    @renaming_operation(REPLACE)
    async def replace_usernames(self, learner: Learner) -> Outcome:
        """Put the retired username on the account; e-mail and full name stay in the service."""
        return await replace_username(self.api, REPLACE, learner)
