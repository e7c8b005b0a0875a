"""Schedules that an operator changed by hand in Prefect's UI stay so: what `serve` wrote last is kept beside them.

A deployment is written anew at each start. What it has on the server is compared with what was written last, which a
variable of the server holds: a difference is the work of a person.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, VariableCreate, VariableUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from retirement.config import Timed

VARIABLE = "retirement_schedules"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a deployment gets; `by_hand` says in words what of it is not the configuration's."""

    schedules: list[DeploymentScheduleCreate]
    paused: bool = False
    by_hand: str = ""


class Schedules:
    """What was written last, by the names of deployments."""

    def __init__(self, client: PrefectClient, written: dict[str, Any], *, is_new: bool) -> None:
        self._client, self._written, self._is_new = client, written, is_new

    @classmethod
    async def read(cls, client: PrefectClient) -> "Schedules":
        """What the server's variable holds."""
        found = await client.read_variable_by_name(VARIABLE)
        written = found.value if found and isinstance(found.value, dict) else {}
        return cls(client, dict(written), is_new=found is None)

    async def choose(self, name: str, timed: Timed | None) -> Chosen:
        """The schedules that a deployment is to have, by its full name; the configuration's is `timed`."""
        configured = [_of(timed)] if timed else []
        written = self._written.get(name)
        self._written[name] = {"schedule": [timed.cron, timed.timezone] if timed else None, "stopped": False}
        try:
            there = await self._client.read_deployment_by_name(name)
        except ObjectNotFound:
            return Chosen(configured)
        if written is None:
            return Chosen(configured)
        if not timed and not _changed(there, written["schedule"]):
            await self._remove(there)
        chosen = _chosen(there, written, configured)
        if _changed(there, written["schedule"]):
            # What was written last stays on record, so that the next start sees the difference as well.
            self._written[name]["schedule"] = written["schedule"]
        return chosen

    async def _remove(self, deployment: DeploymentResponse) -> None:
        """Deletes the schedules of a deployment whose configuration has none any more."""
        for each in deployment.schedules:
            await self._client.delete_deployment_schedule(deployment.id, each.id)

    async def keep(self) -> None:
        """Writes down what has been chosen."""
        if self._is_new:
            await self._client.create_variable(VariableCreate(name=VARIABLE, value=self._written))
            self._is_new = False
        else:
            await self._client.update_variable(VariableUpdate(name=VARIABLE, value=self._written))

    async def stop(self, deployments: dict[str, UUID]) -> None:
        """Pauses deployments, since no process takes their runs from now on; those paused by hand stay so."""
        running = []
        for name, identity in deployments.items():
            if not (await self._client.read_deployment(identity)).paused:
                self._written[name]["stopped"] = True
                running.append(identity)
        await self.keep()
        for each in running:
            await self._client.pause_deployment(each)


def _of(timed: Timed) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(schedule=CronSchedule(cron=timed.cron, timezone=timed.timezone), active=True)


def _chosen(there: DeploymentResponse, written: dict[str, Any], configured: list[DeploymentScheduleCreate]) -> Chosen:
    """What the work of a person on the server leaves of the configured schedules."""
    paused = there.paused and not written["stopped"]
    if _changed(there, written["schedule"]):
        return Chosen(_kept(there), paused, "schedule changed by hand" + (", paused" if paused else ""))
    if there.schedules and not any(each.active for each in there.schedules):
        configured = [each.model_copy(update={"active": False}) for each in configured]
        return Chosen(configured, paused, "paused by hand")
    return Chosen(configured, paused, "paused by hand" if paused else "")


def _changed(there: DeploymentResponse, written: list[str] | None) -> bool:
    found = [
        [each.schedule.cron, each.schedule.timezone] if isinstance(each.schedule, CronSchedule) else None
        for each in there.schedules
    ]
    return found != ([written] if written else [])


def _kept(there: DeploymentResponse) -> list[DeploymentScheduleCreate]:
    """The schedules of a deployment as they are on the server."""
    return [
        DeploymentScheduleCreate(schedule=each.schedule, active=each.active, parameters=each.parameters)
        for each in there.schedules
    ]
