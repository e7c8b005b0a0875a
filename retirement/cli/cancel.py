"""`retirement cancel`: cancel a request before its retirement has begun."""

from retirement.cli.command import Call, code_of, command
from retirement.errors import StateConflict
from retirement.followup import cancel as followup
from retirement.site import opened


@command()
async def cancel(call: Call, user_id: int) -> int:
    """Cancel the request of a learner who is still PENDING: the learner keeps the account."""
    # The permission to cancel is one of the LMS; the client may have none at other services, so none is asked.
    async with opened(call.configuration) as site:
        refusal: StateConflict | None = None
        try:
            await followup.cancel(site, user_id)
        except StateConflict as error:
            refusal = error
    if refusal:
        problem = str(refusal)
        call.show({"user_id": user_id, "cancelled": False, "errors": [problem]})
        call.remark([problem])
    else:
        kept = f"learner {user_id} keeps the account and has to set a new password"
        call.show({"user_id": user_id, "cancelled": True, "errors": []}, kept)
    return code_of(refusal)
