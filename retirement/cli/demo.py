"""`retirement demo`: a simulated platform, and its learners retired."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from retirement import reports
from retirement.cli.command import Call, code_of, command, until_told_to_stop
from retirement.cli.output import errors
from retirement.cli.retire_queue import queue_run
from retirement.cli.sandbox import LatencyOption, PipelineOption, known, started, write_config
from retirement.cli.secrets import secret_block
from retirement.cli.shown_reports import reports_table
from retirement.flows.kit import lock
from retirement.flows.kit.server import engine_folder, running
from retirement.pipeline.endings import Report
from retirement.reports import DONE, SOME_FAILED
from retirement.sandbox import Sandbox
from retirement.sandbox.pipelines import states
from retirement.sandbox.seeds import demo as demo_seed
from retirement.site import ready


@command(configured=False)
async def demo(
    call: Call,
    exit_: Annotated[bool, typer.Option("--exit", help="End with an exit code instead of staying up.")] = False,
    pipeline: PipelineOption = "default",
    latency_ms: LatencyOption = 0.0,
) -> int:
    """Retire 25 simulated learners, hard cases among them, and stay up to show the runs."""
    began = time.monotonic()
    seed = demo_seed(states(known(pipeline)))
    with _own_folder() as folder:
        os.environ.setdefault("RETIREMENT_HOME", folder)
        async with started(seed, latency_ms) as (platform, urls), running() as engine:
            path = Path(folder) / "retirement.yaml"
            write_config(path, pipeline, urls, platform.clients["worker"])
            async with ready(str(path), secret_block):
                document, found, error = await queue_run(None, None, engine, show=not call.as_json)
            document |= _truth(platform)
            document["ui"] = engine.ui_url
            document["total_seconds"] = round(time.monotonic() - began, 1)
            call.show(document, reports_table(found, _cases(seed, platform)), *_lines(document, found))
            if error:
                errors.print(str(error))
            if not exit_:
                errors.print(lock.login(engine_folder()))
                errors.print("Ctrl-C stops everything")
                await until_told_to_stop()
    code = code_of(error, reports.exit_code(found))
    return SOME_FAILED if document["residue"] and code == DONE else code


@contextmanager
def _own_folder() -> Iterator[str]:
    """The folder of everything that the demo writes, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="retirement-demo-") as folder:
        # Started by root, the database has an account of its own, which passes through; each file is closed by itself.
        Path(folder).chmod(0o711)
        yield folder


def _cases(seed: dict[str, Any], platform: Sandbox) -> dict[int, str]:
    """Why each learner is in the demo, by user id."""
    why = {each["username"]: each["why"] for each in seed["learners"]}
    return {each["user_id"]: why[name] for name, each in platform.state()["learners"].items() if name in why}


def _truth(platform: Sandbox) -> dict[str, Any]:
    """What the platform's databases hold of retired learners."""
    learners = platform.state()["learners"]
    return {
        "residue": platform.residue(),
        "survives": sum(len(each["survives"]) for each in learners.values()),
    }


def _lines(document: dict[str, Any], found: list[Report]) -> list[str]:
    records = document["records"]
    places = [f"  {each['service']}.{each['table']}.{each['column']}: {each['what']}" for each in document["residue"]]
    return [
        f"{reports.summary(found)}; {document['seconds']} s, {document['total_seconds']} s with all servers",
        (
            f"residue: {len(places)} places still name a retired learner, "
            f"not counting {document['survives']} that survive by contract"
        ),
        *places,
        (
            f"records in Prefect: {records['flow_runs']} runs of learners, {records['task_runs']} of their steps, "
            f"{records['task_runs_lost']} lost"
        ),
        f"the runs, as graphs of their steps: {document['ui']}/runs/flow-run/{document['flow_run']}",
    ]
