"""New usernames for accounts of the LMS and of its forum. Contract: sections 4.14 and 4.17.

Both endpoints ask for one account by name, `USERNAME_REPLACEMENT_WORKER` of the LMS; superuser is not enough.
"""

from collections.abc import Mapping

from retirement.errors import Misconfigured
from retirement.wire import renaming
from retirement.wire.api import Api
from retirement.wire.renaming import Renamed
from retirement.wire.reply import Reply

ACCOUNTS = "/api/user/v1/accounts/replace_usernames/"
#: Singular, and without a slash at its end; the reference's driver has neither, and gets a 404.
FORUM = "/api/discussion/v1/accounts/replace_username"
ANSWERS = {f"POST {path}": renaming.ANSWER for path in (ACCOUNTS, FORUM)}


class Renaming:
    """The endpoints for new names of one LMS."""

    def __init__(self, api: Api) -> None:
        self._api = api.expecting(ANSWERS)

    async def rename(self, names: Mapping[str, str]) -> Renamed:
        """Gives accounts these new names, by the old ones; one that is taken gets a suffix, which the result has.

        Sent once: a second time the old names are unknown, which counts as a success, and the suffix is not told. So
        a `Transient` in doubt leaves open who has which name. Raises `Misconfigured` where the worker may not.
        """
        reply = await self._api.post(ACCOUNTS, json=renaming.body(names), once=True, judge=_permitted)
        return renaming.renamed(reply)

    async def rename_in_forum(self, names: Mapping[str, str]) -> Renamed | None:
        """The same in the forum, which finds an account by its new name; None where the LMS has no forum."""
        try:
            return renaming.renamed(await self._api.post(FORUM, json=renaming.body(names), judge=_permitted))
        except Misconfigured as error:
            if error.status != 404:
                raise
            return None


def _permitted(reply: Reply) -> None:
    if reply.status == 403:
        raise reply.misconfigured("only the account that USERNAME_REPLACEMENT_WORKER names may replace usernames")
