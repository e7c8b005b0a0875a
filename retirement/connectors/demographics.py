"""Demographics: what the learner said about themselves, found by LMS user id. The service is private.

Contract of the services, sections A9 and A15. Only what the reference driver did is known: success is any 2xx,
and 404 means that there was nothing. A 404 that is not JSON is a missing route, and proves nothing.
"""

from retirement.connectors import Connector, Identity, Outcome, json_404_only, operation
from retirement.errors import Refused
from retirement.http import Reply
from retirement.learner import Learner

RETIRE = "/demographics/api/v1/retire_demographics/"
#: Keys of an answer that reports trouble, in the words of Open edX services.
TROUBLE = frozenset({"error", "errors", "detail", "developer_message", "error_code"})


class Demographics(Connector):
    """The demographics service."""

    service = "DEMOGRAPHICS"

    @operation(Identity.USER_ID, route=("POST", RETIRE), absent_on_404=True)
    async def retire_learner(self, learner: Learner) -> Outcome:
        """Delete the learner's demographic answers."""
        missing = json_404_only(self.api.service, RETIRE)

        def judge(reply: Reply) -> bool | None:
            if 200 <= reply.status < 300 and reply.kind == "json" and not _is_success(reply.data):
                raise Refused(self.api.service, f"POST {RETIRE}", reply.status, "the answer reports a failure")
            return missing(reply)

        await self.api.post(RETIRE, json={"lms_user_id": learner.user_id}, judge=judge)
        return Outcome.ERASED


def _is_success(data: object) -> bool:
    """Whether the body of a 2xx lets it be one: nobody outside knows more of its shape than that."""
    return isinstance(data, dict) and TROUBLE.isdisjoint(data) and data.get("success", True) is True
