"""Commands that keep something running on this machine: the sandbox, the demo, the server."""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from flows.server import running
from retirement import reports
from retirement.cli.output import (
    ConfigOption,
    JsonOption,
    code_of,
    console,
    errors,
    run,
    show_json,
    until_told_to_stop,
)
from retirement.cli.runs import queue_run, show_reports
from retirement.cli.secrets import secret_block
from retirement.config import load
from retirement.endings import Report
from retirement.errors import ConfigError
from retirement.reports import DONE, SOME_FAILED
from retirement.sandbox import Sandbox, serving
from retirement.sandbox.pipelines import PIPELINES, configuration, states
from retirement.sandbox.seeds import demo as demo_seed
from retirement.sandbox.seeds import learners as seeded_learners
from retirement.site import ready

PipelineOption = Annotated[str, typer.Option("--pipeline", help=f"Pipeline to simulate: {', '.join(PIPELINES)}.")]
LatencyOption = Annotated[float, typer.Option("--latency-ms", min=0, help="Milliseconds added to every answer.")]


def sandbox(
    base_port: Annotated[
        int | None, typer.Option(min=1, max=65000, help="First port; default: free ones.", show_default=False)
    ] = None,
    learners: Annotated[int, typer.Option(min=0, help="Learners to seed.")] = 25,
    latency_ms: LatencyOption = 0.0,
    seed_file: Annotated[Path | None, typer.Option(help="Seed object as JSON, instead of --learners.")] = None,
    write_config: Annotated[Path | None, typer.Option(help="Write a configuration that points here.")] = None,
    databases: Annotated[
        Path | None, typer.Option(help="Folder for the services' databases, one SQLite file each, to look into.")
    ] = None,
    pipeline: PipelineOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Run a simulated Open edX platform until told to stop."""

    async def command() -> int:
        seed = _seed(seed_file, learners, _known(pipeline))
        async with _sandbox(seed, latency_ms, base_port, databases) as (platform, urls):
            if write_config:
                _write_config(write_config, pipeline, urls, platform.clients["worker"], databases)
            services = {name: url for name, url in urls.items() if name != "control"}
            if as_json:
                document = {"control": urls["control"], "services": services, "clients": platform.clients}
                typer.echo(json.dumps(document))
                sys.stdout.flush()
            else:
                for name, url in urls.items():
                    console.print(f"{name:16} {url}", highlight=False)
                console.print("Ctrl-C stops it")
            await until_told_to_stop()
        return DONE

    run(command, as_json=as_json)


def _known(pipeline: str) -> str:
    if pipeline not in PIPELINES:
        raise ConfigError(f"--pipeline: there is no {pipeline}; known are {', '.join(PIPELINES)}")
    return pipeline


def _seed(file: Path | None, learners: int, pipeline: str) -> dict[str, Any]:
    if file is None:
        return seeded_learners(learners, states(pipeline), everywhere=pipeline == "all")
    try:
        seed = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{file}: is no JSON: {error}") from None
    if not isinstance(seed, dict):
        raise ConfigError(f"{file}: a seed is an object with `learners`")
    return {"states": states(pipeline), **seed}


@asynccontextmanager
async def _sandbox(
    seed: dict[str, Any], latency_ms: float, base_port: int | None = None, databases: Path | None = None
) -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    try:
        platform = Sandbox(seed, latency_ms=latency_ms, databases=databases)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"the seed cannot be used: {error}") from None
    except OSError as error:
        raise ConfigError(f"--databases: {error.filename}: {error.strerror}") from None
    async with AsyncExitStack() as stack:
        try:
            urls = await stack.enter_async_context(serving(platform, base_port))
        except OSError as error:
            raise ConfigError(f"--base-port: {error.strerror or error}") from None
        yield platform, urls


def _write_config(
    path: Path, pipeline: str, urls: dict[str, str], client: dict[str, str], databases: Path | None = None
) -> None:
    text = yaml.safe_dump(configuration(pipeline, urls, client, databases), sort_keys=False, allow_unicode=True)
    try:
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(f"# Points at a sandbox, whose secret is no secret.\n{text}", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End with an exit code instead of staying up.")] = False,
    pipeline: PipelineOption = "default",
    latency_ms: LatencyOption = 0.0,
    as_json: JsonOption = False,
) -> None:
    """Retire 25 simulated learners, hard cases among them, and stay up to look at the runs."""

    async def command() -> int:
        began = time.monotonic()
        seed = demo_seed(states(_known(pipeline)))
        with tempfile.TemporaryDirectory(prefix="retirement-demo-") as folder:
            os.environ.setdefault("RETIREMENT_HOME", folder)
            async with _sandbox(seed, latency_ms) as (platform, urls), running() as engine:
                path = Path(folder) / "retirement.yaml"
                _write_config(path, pipeline, urls, platform.clients["worker"])
                async with ready(str(path), secret_block):
                    document, found, error = await queue_run(None, None, engine, show=not as_json)
                truth = platform.state()["learners"]
                document["residue"] = platform.residue()
                document["survives"] = sum(len(each["survives"]) for each in truth.values())
                document["ui"] = engine.ui_url
                document["total_seconds"] = round(time.monotonic() - began, 1)
                code = code_of(error) if error else reports.exit_code(found)
                if document["residue"] and code == DONE:
                    code = SOME_FAILED
                if as_json:
                    show_json(document)
                else:
                    _tell(
                        document, found, {truth[each["username"]]["user_id"]: each["why"] for each in seed["learners"]}
                    )
                if error:
                    errors.print(str(error), highlight=False, markup=False)
                if not exit_:
                    errors.print("Ctrl-C stops everything", highlight=False)
                    await until_told_to_stop()
        return code

    run(command, as_json=as_json)


def _tell(document: dict[str, Any], found: list[Report], cases: dict[int, str]) -> None:
    show_reports(found, cases)
    console.print(f"{reports.summary(found)}; {document['seconds']} s, {document['total_seconds']} s with all servers")
    console.print(
        f"residue: {len(document['residue'])} places still name a retired learner, "
        f"not counting {document['survives']} that survive by contract",
        highlight=False,
    )
    for place in document["residue"]:
        console.print(f"  {place['service']}.{place['table']}.{place['column']}: {place['what']}", highlight=False)
    records = document["records"]
    console.print(
        f"records in Prefect: {records['flow_runs']} runs of learners, {records['task_runs']} of their steps, "
        f"{records['task_runs_lost']} lost",
        highlight=False,
    )
    console.print(f"the runs, as graphs of their steps: {document['ui']}/runs/flow-run/{document['flow_run']}")


def _absolute(path: str) -> str:
    """The scheduled runs are processes that start in another folder."""
    return str(Path(path).resolve())


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the UI and the API.")] = 4200,
    config: ConfigOption = None,
) -> None:
    """Keep server, UI and the scheduled queue running in the foreground."""

    async def command() -> int:
        chosen = load(config, secret_block=secret_block)
        os.environ["RETIREMENT_CONFIG"] = _absolute(chosen.source)
        os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"
        async with running(port) as engine:
            # Prefect reads its settings at import, and they are known since the server is up.
            from flows.deployments import Schedules, serve_all

            console.print(f"UI: {engine.ui_url}", highlight=False)
            with suppress(asyncio.CancelledError):  # it was told to stop, which is how it ends
                await serve_all(
                    Schedules(
                        queue=chosen.schedule,
                        reconcile=chosen.reconcile_schedule,
                        verify=chosen.verify_schedule,
                        archive=chosen.archive_schedule,
                    )
                )
        return DONE

    try:
        run(command, as_json=False)
    except typer.Exit as end:
        # Everything is put away here, and threads that Prefect's runner leaves now and then never end.
        sys.stdout.flush()
        os._exit(end.exit_code)
