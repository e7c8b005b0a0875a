"""The engine without Prefect, as a process of its own: reconcile, then retire everybody who waits.

    python -m tests.chaos.worker CONFIG [--reconcile] [--shuffle SEED] [--at-once N]

Says on stdout, one JSON object a line, who it is to the ledger, what it found and where each learner ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retirement.config import load
from retirement.followup.reconcile import reconcile
from retirement.reports import document, exit_code
from retirement.retire.engine import retire
from retirement.site import Site, opened

if sys.platform != "win32":
    import uvloop


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs to the end; the exit code is that of `retirement retire-queue`."""
    parser = argparse.ArgumentParser(prog="worker", description="Retires everybody who waits, without Prefect.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--reconcile", action="store_true", help="bring back first whom a dead run has left")
    parser.add_argument("--shuffle", type=int, metavar="SEED", help="take the learners in a random order")
    parser.add_argument("--at-once", type=int, default=1, metavar="N")
    chosen = parser.parse_args(arguments)
    return asyncio.run(_work(chosen)) if sys.platform == "win32" else uvloop.run(_work(chosen))


async def _work(chosen: argparse.Namespace) -> int:
    configuration = load(chosen.config)
    async with opened(configuration) as site:
        _say({"holder": site.ledger.leases.holder})
        if chosen.reconcile:
            async for finding in reconcile(site):
                _say({"user_id": finding.user_id, "verdict": finding.verdict.value, "target": finding.target})
        waiting = (await site.lms.rows.queue(site.pipeline.queue_states, configuration.cool_off_days)).learners
        if chosen.shuffle is not None:
            random.Random(chosen.shuffle).shuffle(waiting)  # noqa: S311 - an order, no secret
        return await _retire_all(site, iter(waiting), chosen.at_once)


async def _retire_all(site: Site, waiting: Any, at_once: int) -> int:
    reports, batch = [], site.batch()

    async def lane() -> None:
        for learner in waiting:
            reports.append(report := await retire(site, batch, learner))
            _say(document(report))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(lane())
    return exit_code(reports)


def _say(words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
