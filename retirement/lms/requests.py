"""Requests to retire that are made for learners, by the one endpoint of the LMS that lets a worker make them.

Contract: sections 2.6 and 4.5. `deactivate_logout` is for the account that calls it and is never called here.
"""

from collections.abc import Sequence

from retirement.wire.api import Api
from retirement.wire.reply import Reply
from retirement.wire.success import an_object

BULK = "/v1/accounts/bulk_retire_users"
#: What proves it: two lists of usernames, which together are those that were given.
ANSWERS = {f"POST {BULK}": an_object("successful_user_retirements", "failed_user_retirements")}
#: What helps where the LMS has no such endpoint.
BY_HAND = "`./manage.py lms retire_user --user_file FILE` there takes a CSV file of usernames and e-mail addresses"


class Requests:
    """The endpoint for requests of one LMS."""

    def __init__(self, api: Api) -> None:
        self._api = api.expecting(ANSWERS)

    async def make(self, usernames: Sequence[str]) -> set[str]:
        """Has the LMS make a request for each; the names for which it says that it has.

        A name that is unknown, or that has or had a request, is left out; so is one whose first answer was lost, when
        the question was repeated. No name has a comma. Raises `Misconfigured` where the endpoint is switched off.
        """

        def judge(reply: Reply) -> None:
            if reply.status == 404:
                raise reply.misconfigured(f"the LMS has ENABLE_BULK_USER_RETIREMENT off: switch it on, or {BY_HAND}")

        reply = await self._api.post(BULK, json={"usernames": ",".join(usernames)}, judge=judge)
        made = reply.mapping["successful_user_retirements"]
        return {name for name in made if isinstance(name, str)} if isinstance(made, list) else set()
