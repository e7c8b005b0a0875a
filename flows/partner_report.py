"""The partner report as a flow: files for the partners, and a summary that names organisations only."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.artifacts import acreate_table_artifact
from prefect.states import Cancelled, Completed, Failed

from flows.redaction import redact_logs
from flows.secret_blocks import secret_block
from flows.stopping import put_away, stoppable
from retirement import partners
from retirement.errors import Defect, Held, Interrupted, RetirementError
from retirement.partners import Delivery
from retirement.site import ready


def _name_of_run() -> str:
    return f"partner-report-{datetime.now(UTC):%Y-%m-%d-%H-%M}"


@flow(name="partner-report", flow_run_name=_name_of_run, persist_result=False)
async def partner_report(output: str, config: str | None = None) -> State[Any]:
    """Writes one file per organisation with its learners who were retired, into the folder `output`.

    `config` is the configuration file; by default RETIREMENT_CONFIG, else retirement.yaml.
    """
    redact_logs()
    try:
        delivery = await stoppable(lambda: _deliver(Path(output), config))
    except Held as held:
        return Cancelled(name="HeldElsewhere", message=str(held))
    except Interrupted as interrupted:
        return Cancelled(name="Stopped", message=str(interrupted))
    except RetirementError as error:
        return Failed(name=type(error).__name__, message=str(error))
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        return Failed(name="Defect", message=str(Defect.at(error)))
    return await _state(delivery)


async def _deliver(output: Path, config: str | None) -> Delivery:
    async with ready(config, secret_block) as (configuration, site):
        destination = partners.destination(output, configuration.lms.url)
        return await put_away(partners.deliver(site, destination), site.stop)


async def _state(delivery: Delivery) -> State[Any]:
    summary = partners.summary(delivery)
    table = [{"organisation": org, "learners": count} for org, count in sorted(delivery.orgs.items())]
    if table:
        await acreate_table_artifact(key="retirement-partner-report", table=table, description=summary)
    if isinstance(delivery.error, Interrupted):
        return Cancelled(name="Stopped", message=f"{delivery.error} ({summary})")
    if found := partners.document(delivery)["errors"]:
        return Failed(name="SomeDue", message="; ".join([summary, *found]))
    return Completed(name="Reported", message=summary)
