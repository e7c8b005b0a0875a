"""What answers of Open edX services mean, for connectors to judge by: what is an absence and what a success."""

from retirement.wire.reply import Reply
from retirement.wire.success import an_object, nothing

#: What a route of a private build is answered with when it has worked. The reference takes any 2xx; a gateway's 202
#: and a maintenance page's empty 200 are such, too, so only what a service of Open edX says by itself is taken.
PRIVATE = nothing() | an_object()
#: Keys of an answer that reports trouble, in the words of Open edX services.
TROUBLE = frozenset({"error", "errors", "detail", "developer_message", "error_code"})


def json_404_only(reply: Reply) -> None:
    """For routes that stock services lack: an empty 404 may be a gateway's, and proves nothing (contract, A15)."""
    if reply.status == 404 and reply.kind != "json":
        raise reply.misconfigured("no such route: stock services lack it")


def private_route(reply: Reply) -> None:
    """For routes of private builds, of whose body nothing is known (`PRIVATE`): one that reports a failure is one."""
    if reply.ok and reply.kind == "json":
        data = reply.data
        if not isinstance(data, dict) or not TROUBLE.isdisjoint(data) or data.get("success", True) is not True:
            raise reply.refused("the answer reports a failure")
    json_404_only(reply)


def empty_only(reply: Reply) -> None:
    """For routes whose only success is an empty answer: whatever says something else has not done the work."""
    if reply.ok and reply.kind == "json":
        raise reply.refused("an empty answer is due")
