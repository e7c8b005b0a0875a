"""In our Prefect server, the task run that stands for all learners of a queue run has the state that the run gives it.

Prefect gives the task run above a subflow each state of that subflow. One that stands for many would get two states
of each learner, which say nothing of the others, and each learner's transaction would wait for that one row. An
operator's own server does so; the run gives its state at the beginning and at the end to either. Where the run's
process is gone nobody gives it an end but those who end the learners' runs as Crashed, which it therefore becomes too.
"""

from prefect.server.database.orm_models import FlowRun
from prefect.server.orchestration import global_policy
from prefect.server.orchestration.global_policy import UpdateSubflowParentTask
from prefect.server.orchestration.rules import OrchestrationContext
from prefect.server.schemas.core import FlowRunPolicy

from retirement.flows.kit.names import OF_LEARNER


class UpdateParentOfOne(UpdateSubflowParentTask):
    """Prefect's rule, for subflows other than the runs of learners below a queue run, and for those that crashed."""

    async def after_transition(self, context: OrchestrationContext[FlowRun, FlowRunPolicy]) -> None:
        run, state = context.run, context.validated_state
        # A deployment has these tags as well, and its runs have no place but their own.
        is_one_of_many = run.deployment_id is None and set(OF_LEARNER) <= set(run.tags)
        if not is_one_of_many or (state and state.is_crashed()):
            await super().after_transition(context)


def keep_its_state() -> None:
    """From here on the server of this process takes our rule in the place of Prefect's."""
    # By this name Prefect's policy looks for it at each change of a state; there is no setting for it.
    vars(global_policy)[UpdateSubflowParentTask.__name__] = UpdateParentOfOne
