"""The username replacement that ecommerce, credentials and discovery share.

It renames, and what else it erases depends on the service and its release. A 200 may hold failures, and
an unknown username counts as a success. Contract of the services: sections A1.3, A2.2 and A3.1.
"""

from retirement.connectors import Outcome
from retirement.errors import Refused
from retirement.http import Api
from retirement.learner import Learner


async def replace_username(api: Api, path: str, learner: Learner) -> Outcome:
    """Gives the learner the retired name in one service. Raises `Refused` when the service reports a failure."""
    mapping = {learner.username: learner.retired_username}
    reply = await api.post(path, json={"username_mappings": [mapping]})
    answer = reply.data if isinstance(reply.data, dict) else {}
    done, failed = answer.get("successful_replacements"), answer.get("failed_replacements")
    if not isinstance(done, list) or not isinstance(failed, list):
        raise Refused(api.service, f"POST {path}", reply.status, "the two lists of results are missing")
    if failed:
        raise Refused(api.service, f"POST {path}", reply.status, "the service could not replace the username")
    if mapping not in done:
        raise Refused(api.service, f"POST {path}", reply.status, "the service did not use the retired username")
    return Outcome.ERASED
