"""Prefect's runner, as `retirement serve` has it: it has no last word about a run that is over."""

from typing import Any, Self

from prefect.client.schemas.objects import FlowRun
from prefect.runner import Runner
from prefect.runner._state_proposer import StateProposer


class Proposer(StateProposer):
    """Makes a run Cancelled whose process was told to end, where the run has not ended as something else before."""

    async def propose_cancelled(self, flow_run: FlowRun, state_updates: dict[str, Any] | None = None) -> bool:
        """Whether the run is Cancelled now by this.

        Prefect forces it on each run that it has told to end, also on one that completed or failed in the moment
        before, and on one that has said for itself how it stopped. The process is gone, so the state stays what it
        is. Where it cannot be asked for, Prefect goes on as it does, lest the run is never over.
        """
        try:
            state = (await self._client.read_flow_run(flow_run.id)).state
        except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises where the server has no answer
            self._logger.debug("the state of run %s is not known: %s", flow_run.id, type(error).__name__)
        else:
            if state and state.is_final():
                return False
        return await super().propose_cancelled(flow_run, state_updates)


class ServingRunner(Runner):
    """The runner of `serve`. Cancels the runs that go on when it is told to end; a run that is over keeps its state."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._cancellation_manager._state_proposer = Proposer(client=self._client)
        return self
