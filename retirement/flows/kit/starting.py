"""Starting the run of one learner by its deployment on the server that `serve` works with."""

from retirement.errors import EngineLost
from retirement.flows.kit.health import lost_as

#: Flow and deployment, as `serve` has them.
DEPLOYMENT = "retire-learner/learner-here"


async def start_learner(user_id: int, early: str | None) -> None:
    """Has Prefect start a run for a learner, who has been confirmed; `early` says why not to wait for the cool-off.

    Raises `EngineLost` where the server does not answer, or has no such deployment.
    """
    # Prefect reads its settings at import, and `serve` makes them when its server is up.
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    parameters = {"user_id": user_id, "before_cool_off_is_over": early, "ask_first": False}
    try:
        with lost_as("Prefect's server did not start the run"):
            async with get_client() as client:
                deployment = await client.read_deployment_by_name(DEPLOYMENT)
                await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    except ObjectNotFound:
        raise EngineLost(f"Prefect's server has no deployment {DEPLOYMENT}") from None
