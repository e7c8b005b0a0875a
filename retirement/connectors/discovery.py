"""Course discovery: the catalogue's own user table.

Contract of the services, section A3: there is no retirement, only the username can be replaced; e-mail and
full name stay.

Its code: https://github.com/openedx/course-discovery
"""

from retirement.connectors import Connector, Identity, Outcome, an_object, operation
from retirement.connectors.shared.renaming import replace_username
from retirement.learner import Learner

REPLACE = "/api/v1/replace_usernames/"


class Discovery(Connector):
    """The course discovery service."""

    service = "DISCOVERY"

    @operation(
        Identity.USERNAME,
        Identity.RETIRED_USERNAME,
        route=("POST", REPLACE),
        finds_by_username=True,
        destroys_username=True,
        success=an_object("successful_replacements", "failed_replacements"),
    )
    async def replace_usernames(self, learner: Learner) -> Outcome:
        """Put the retired username on the account; e-mail and full name stay in the service."""
        return await replace_username(self.api, REPLACE, learner)
