"""The archive as a flow: the LMS forgets who somebody was, once everything else is proved to have gone."""

from datetime import UTC, datetime
from typing import Any

from prefect import State, flow
from prefect.artifacts import acreate_table_artifact
from prefect.states import Cancelled, Completed, Failed

from flows.secret_blocks import secret_block
from flows.stopping import put_away, stoppable
from retirement import archive as archives
from retirement import reports
from retirement.archive import Choice
from retirement.config import load
from retirement.coverage import candidates
from retirement.errors import Defect, Interrupted, RetirementError, StateConflict
from retirement.forgetting import Archived
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
        await stoppable(lambda: _archive(config, found, dry_run=dry_run))
    except StateConflict as error:
        return Cancelled(name="HeldElsewhere", message=str(error))
    except Interrupted as error:
        await _leave(found)
        return Cancelled(name="Stopped", message=f"{error} ({reports.archived_summary(found)})")
    except RetirementError as error:
        return await _failed(type(error).__name__, str(error), found)
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        return await _failed("Defect", str(Defect.at(error)), found)
    summary = await _leave(found)
    if reports.archived_code(found):
        return Failed(name="SomeKept", message=summary)
    return Completed(name="Archived", message=summary)


async def _archive(config: str | None, found: list[Archived], *, dry_run: bool) -> None:
    configuration = load(config, secret_block=secret_block)
    choice = Choice(configuration.archive_days)
    # No service but the LMS is asked anything.
    async with opened(configuration) as site:
        run = archives.archive(site, choice, found.append, states=candidates(configuration), dry_run=dry_run)
        await put_away(run, site.stop)


async def _failed(name: str, text: str, found: list[Archived]) -> State[Any]:
    """What was done before the error counts too."""
    summary = await _leave(found)
    return Failed(name=name, message=f"{text} ({summary})" if found else text)


async def _leave(found: list[Archived]) -> str:
    """The table of a run, and its summary."""
    summary = reports.archived_summary(found)
    if found:
        table = [reports.archived(each) for each in found]
        await acreate_table_artifact(key="retirement-archive", table=table, description=summary)
    return summary
