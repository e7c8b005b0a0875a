"""`make plain`: each deployment of `prefect.yaml` runs by a schedule on a plain server with a process worker.

    python -m tests.plain [--database sqlite|postgresql]

Once on each database. Prints a table of the scheduled runs. Ends with 1 when one of them is missing or not COMPLETED.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.flows.conftest import Platform, sandbox
from tests.night.service import Timeline, Watch
from tests.plain.scheduled import EARLY, Rehearsal, plans, seed
from tests.plain.server import DATABASES, Plain, plain_server


def main() -> int:
    """Plays one server after the other and prints what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.plain", description="Deployments on a plain server.")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    only = parser.parse_args().database
    timeline = Timeline()
    wrong = [f"{name}: {each}" for name in DATABASES if only in (None, name) for each in played(name, timeline)]
    for each in wrong:
        timeline.say(f"WRONG: {each}")
    timeline.say(f"{len(wrong)} problems")
    return 1 if wrong else 0


def played(database: str, timeline: Timeline) -> list[str]:
    """What is wrong on a server with this database, a sentence each."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("prefect", "sqlalchemy", "fastapi"))
    timeline.say(f"a plain server on {database}: {libraries}")
    home = Path(tempfile.mkdtemp(prefix="retirement-plain-"))
    # The account of PostgreSQL has to reach the folder.
    home.chmod(0o755)
    try:
        with sandbox(home, seed=seed()) as platform:
            (home / "reports").mkdir(mode=0o700)
            (home / "reports" / "usernames.csv").write_text("current,desired\n", encoding="utf-8")
            folders = dict.fromkeys(("partner_reports", "username_replacements"), str(home / "reports"))
            platform.configure(cleanup_days=0, partners={"expire_days": 90}, ledger={"text_days": 365}, **folders)
            with plain_server(home, platform.config, database, timeline) as plain:
                errored(plain, platform)
                watch = Watch(plain.api, timeline)
                rehearsal = Rehearsal(plain, platform, watch, plans(platform.user_id))
                rehearsal.schedule()
                try:
                    rehearsal.play()
                finally:
                    timeline.say(f"scheduled runs on {database}, {libraries}:")
                    for line in rehearsal.table():
                        timeline.say(line)
                if wrong := rehearsal.wrong():
                    plain.tell_logs()
                return wrong
    finally:
        shutil.rmtree(home, ignore_errors=True)


def errored(plain: Plain, platform: Platform) -> None:
    """A learner for `redrive`: the LMS refuses a step of a retirement on request."""
    platform.arm({"path": "/retire_misc/", "method": "POST", "status": 400, "times": 1})
    words = ["retire-learner", "--user-id", str(platform.user_id("errored-canary-1")), "--yes"]
    words += ["--before-cool-off-is-over", EARLY, "--config", str(platform.config)]
    variables = {**plain.environment, "RETIREMENT_HOME": str(plain.home)}
    command = [sys.executable, "-m", "retirement", *words]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    plain.timeline.say(f"$ retirement {' '.join(words[:4])} …   (exit code {done.returncode})")
    assert platform.states()["errored-canary-1"] == "ERRORED", f"{done.stdout}{done.stderr}"


if __name__ == "__main__":
    sys.exit(main())
