"""Services that replace usernames: ecommerce, credentials and discovery.

Each renames, and what else it erases depends on the service and its release. Contract of the services: sections A1.3,
A2.2 and A3.1.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from retirement.connectors.kit.connector import Connector
from retirement.connectors.kit.declaration import Identity, Method, operation
from retirement.connectors.kit.outcomes import Outcome
from retirement.learner import Learner
from retirement.wire import renaming
from retirement.wire.api import Api
from retirement.wire.renaming import Renamed


class RenamingConnector(Connector):
    """The connector of a service that gives accounts new usernames, in retirement and otherwise."""

    #: The path of its replacement.
    renames: ClassVar[str]

    async def rename(self, names: Mapping[str, str]) -> Renamed:
        """Gives accounts these new names, by the old ones. Raises `ServiceError`."""
        return await renaming.replace(self.api, self.renames, names)


def renaming_operation(path: str) -> Callable[[Method], Method]:
    """Declares the operation of a step that puts the retired username on an account by the replacement at a path."""
    return operation(
        Identity.USERNAME,
        Identity.RETIRED_USERNAME,
        route=("POST", path),
        finds_by_username=True,
        destroys_username=True,
        success=renaming.ANSWER,
    )


async def replace_username(api: Api, path: str, learner: Learner) -> Outcome:
    """Gives the learner the retired name in one service. Raises `Refused` when the service reports a failure."""
    reply = await api.post(path, json=renaming.body({learner.username: learner.retired_username}))
    found = renaming.renamed(reply)
    if found.failed:
        raise reply.refused("the service could not replace the username")
    if found.done.get(learner.username) != learner.retired_username:
        raise reply.refused("the service did not use the retired username")
    return Outcome.ERASED
