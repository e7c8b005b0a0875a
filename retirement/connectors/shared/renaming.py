"""The username replacement that ecommerce, credentials and discovery share.

It renames, and what else it erases depends on the service and its release. A 200 may hold failures, and
an unknown username counts as a success. Contract of the services: sections A1.3, A2.2 and A3.1.
"""

from retirement.connectors import Outcome
from retirement.learner import Learner
from retirement.wire.api import Api


async def replace_username(api: Api, path: str, learner: Learner) -> Outcome:
    """Gives the learner the retired name in one service. Raises `Refused` when the service reports a failure."""
    mapping = {learner.username: learner.retired_username}
    reply = await api.post(path, json={"username_mappings": [mapping]})
    answer = reply.mapping
    done, failed = answer.get("successful_replacements"), answer.get("failed_replacements")
    if not isinstance(done, list) or not isinstance(failed, list):
        raise reply.refused("the two lists of results are missing")
    if failed:
        raise reply.refused("the service could not replace the username")
    if mapping not in done:
        raise reply.refused("the service did not use the retired username")
    return Outcome.ERASED
