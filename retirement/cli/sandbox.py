"""`retirement sandbox`: the simulated platform, until it is stopped."""

import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from retirement.cli.command import Call, command, until_told_to_stop
from retirement.cli.output import console
from retirement.errors import ConfigError
from retirement.reports import DONE
from retirement.sandbox import Sandbox, serving
from retirement.sandbox.pipelines import PIPELINES, configuration, states
from retirement.sandbox.seeds import learners as seeded_learners
from retirement.sandbox.vendors import drive
from retirement.sandbox.vendors.drive_sign_in import account_key

PipelineOption = Annotated[str, typer.Option("--pipeline", help=f"Pipeline to simulate: {', '.join(PIPELINES)}.")]
LatencyOption = Annotated[float, typer.Option("--latency-ms", min=0, help="Milliseconds added to every answer.")]


@command(configured=False)
async def sandbox(
    call: Call,
    base_port: Annotated[
        int | None, typer.Option(min=1, max=65000, help="First port; default: free ones.", show_default=False)
    ] = None,
    learners: Annotated[int, typer.Option(min=0, help="Learners to seed.")] = 25,
    latency_ms: LatencyOption = 0.0,
    seed_file: Annotated[Path | None, typer.Option(help="Seed object as JSON, instead of --learners.")] = None,
    config_file: Annotated[
        Path | None, typer.Option("--write-config", help="Write a configuration that points here.")
    ] = None,
    databases: Annotated[
        Path | None, typer.Option(help="Folder for the services' databases, one SQLite file each, to look into.")
    ] = None,
    pipeline: PipelineOption = "default",
) -> int:
    """Run a simulated Open edX platform until it is stopped."""
    seed = _seed(seed_file, learners, known(pipeline))
    async with started(seed, latency_ms, base_port, databases) as (platform, urls):
        if config_file:
            write_config(config_file, pipeline, urls, platform.clients["worker"], databases)
        if call.as_json:
            services = {name: url for name, url in urls.items() if name != "control"}
            document = {"control": urls["control"], "services": services, "clients": platform.clients}
            typer.echo(json.dumps(document))
            sys.stdout.flush()
        else:
            for name, url in urls.items():
                console.print(f"{name:16} {url}")
            console.print("Ctrl-C stops it")
        await until_told_to_stop()
    return DONE


def known(pipeline: str) -> str:
    """The name of a simulated pipeline. Raises `ConfigError` for another name."""
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
async def started(
    seed: dict[str, Any], latency_ms: float, base_port: int | None = None, databases: Path | None = None
) -> AsyncIterator[tuple[Sandbox, dict[str, str]]]:
    """A platform that answers, and the address of each service. Raises `ConfigError`."""
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


def write_config(
    path: Path, pipeline: str, urls: dict[str, str], client: dict[str, str], databases: Path | None = None
) -> None:
    """Writes a configuration for that platform, with a ledger of its own beside the file: its learners are new.

    With every service, partner reports go to Drive as well; the key of the account that delivers is beside the file.
    Raises `ConfigError` where a file cannot be written.
    """
    ledger = {"url": f"sqlite:///{path.stem}-{secrets.token_hex(4)}.sqlite", "site": "sandbox"}
    key = path.with_name(f"{path.stem}-drive-key.json") if pipeline == "all" else None
    document = configuration(pipeline, urls, client, databases, key.name if key else None) | {"ledger": ledger}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    if key:
        _write(key, json.dumps(account_key(urls[drive.NAME]), indent=2))
    _write(path, f"# Points at a sandbox, whose secret is no secret.\n{text}")


def _write(path: Path, text: str) -> None:
    """Writes a file that only its owner reads. Raises `ConfigError`."""
    try:
        path.touch(mode=0o600, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
