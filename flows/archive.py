"""The archive as a flow: the LMS forgets who somebody was, once everything else is proved to have gone."""

from datetime import UTC, datetime
from typing import Any

from prefect import State, flow
from prefect.artifacts import acreate_table_artifact
from prefect.states import Cancelled, Completed, Failed

from flows.secret_blocks import secret_block
from retirement import archive as archives
from retirement import reports
from retirement.archive import Archived, Choice
from retirement.config import load
from retirement.errors import Defect, RetirementError, StateConflict
from retirement.site import opened


def _name_of_run() -> str:
    return f"archive-{datetime.now(UTC):%Y-%m-%d-%H-%M}"


@flow(name="archive", flow_run_name=_name_of_run, persist_result=False)
async def archive(config: str | None = None, dry_run: bool = False) -> State[Any]:
    """Has the LMS delete what it keeps of learners who have been COMPLETE for long enough.

    `config` is the configuration file; by default RETIREMENT_CONFIG, else retirement.yaml. With `dry_run` it
    says whom, and does nothing. Those without a complete certificate stay; only the command line forgets them.
    """
    found: list[Archived] = []
    try:
        configuration = load(config, secret_block=secret_block)
        # No service but the LMS is asked anything.
        async with opened(configuration) as site:
            async for each in archives.archive(site, Choice(configuration.archive_days), dry_run=dry_run):
                found.append(each)  # noqa: PERF401 - what was done before an error counts too
    except StateConflict as error:
        return Cancelled(name="HeldElsewhere", message=str(error))
    except RetirementError as error:
        return await _state(found, f"{type(error).__name__}", str(error))
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        return await _state(found, "Defect", str(Defect.at(error)))
    return await _state(found)


async def _state(found: list[Archived], failure: str = "", text: str = "") -> State[Any]:
    summary = reports.archived_summary(found)
    if found:
        table = [reports.archived(each) for each in found]
        await acreate_table_artifact(key="retirement-archive", table=table, description=summary)
    if failure:
        return Failed(name=failure, message=f"{text} ({summary})" if found else text)
    if reports.archived_code(found):
        return Failed(name="SomeKept", message=summary)
    return Completed(name="Archived", message=summary)
