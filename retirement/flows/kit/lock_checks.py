"""What the doctor says of the lock of a Prefect server. Imports nothing of Prefect."""

from retirement.errors import EngineLost
from retirement.flows.kit.health import asks_for_a_credential
from retirement.flows.kit.server import PrefectServer
from retirement.site.doctor import Check, Verdict

_OPEN = (
    "takes requests without a credential: any program that reaches it runs code as the account of the worker, and "
    "answers forms"
)
_FIX = (
    "set PREFECT_SERVER_API_AUTH_STRING for the server and PREFECT_API_AUTH_STRING for commands and workers, and "
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS to the address of its UI"
)


async def lock_check(engine: PrefectServer) -> Check:
    """Whether the server asks for a credential."""
    try:
        locked = await asks_for_a_credential(engine.api_url)
    except EngineLost as error:
        return Check("lock", Verdict.WARNING, str(error), "is the server up?")
    if locked:
        return Check("lock", Verdict.OK, f"{engine.api_url} asks for a credential")
    return Check("lock", Verdict.WARNING, f"{engine.api_url} {_OPEN}", _FIX)
