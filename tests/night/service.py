"""`retirement serve` as a service manager runs it, and what happens on its server, as a timeline."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests import locks
from tests.flows.conftest import the_server, without_ours

#: Seconds between two looks at the server, and of one answer that is waited for.
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 20.0
#: Seconds after which `serve` will not become ready any more, on a machine that is ten times slower than ours.
START_SECONDS = 1200
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


#: What runs log, and what the killed server complains of: it is in their logs.
_LOGGED = re.compile(r"[\d:.]+ \| |engine: |NoneType: None|$")
#: States that every run passes.
_ON_THE_WAY = ("Pending", "Submitting", "Running")


@dataclass
class Timeline:
    """What happened when, by this machine's clock; printed as it comes."""

    began: float = field(default_factory=time.monotonic)
    lines: list[tuple[float, str]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        self.lines.append((self.seconds, text))
        minutes, seconds = divmod(int(self.seconds), 60)
        sys.stdout.write(f"{minutes:3}:{seconds:02}  {text}\n")
        sys.stdout.flush()


class Service:
    """A `serve` that is started again when it fails, as systemd does; its own words go to the timeline."""

    def __init__(self, home: Path, config: Path, port: int, timeline: Timeline) -> None:
        self.home, self.timeline, self.api = home, timeline, f"http://127.0.0.1:{port}/api"
        self.environment = {**without_ours(os.environ), "RETIREMENT_HOME": str(home)}
        self._command = [sys.executable, "-m", "retirement", "serve", "--port", str(port), "--config", str(config)]
        self._wanted, self.ready, self._keeper = False, threading.Event(), threading.Thread()
        self.process: subprocess.Popen[str] | None = None
        self.ends: list[int] = []
        self.tracebacks = 0

    def start(self) -> None:
        """Starts it, and returns when it says that it is ready."""
        self._wanted = True
        self.ready.clear()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()
        assert self.ready.wait(START_SECONDS), "serve does not become ready"
        locks.learn(self.api, self.home)

    def stop(self) -> int:
        """What `systemctl stop` does; the exit code."""
        self._wanted = False
        if self.process is None:
            return 0
        self.process.terminate()
        code = self.process.wait()
        # Else a start that follows at once would find it still keeping.
        self._keeper.join()
        return code

    def _keep(self) -> None:
        while self._wanted:
            variables = {**self.environment, "PREFECT_RUNNER_POLL_FREQUENCY": "2"}
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            with subprocess.Popen(self._command, env=variables, **pipes) as process:
                self.process = process
                for line in process.stdout or ():
                    self._heard(line.rstrip())
            if self._wanted:
                self.ends.append(process.returncode)
                self.timeline.say(f"serve has ended with {process.returncode}, and is started again")

    def _heard(self, line: str) -> None:
        if line.startswith("ready: "):
            self.ready.set()
        self.tracebacks += "Traceback (most recent call last)" in line
        if not _LOGGED.match(line):
            self.timeline.say(f"serve: {line}"[:200])

    def kill_server(self) -> None:
        """SIGKILL to Prefect's server."""
        os.kill(the_server(self.home), signal.SIGKILL)
        self.timeline.say("SIGKILL to Prefect's server")

    def kill_database(self) -> None:
        """SIGKILL to the PostgreSQL of Prefect's server, with all its processes."""
        pid = int((self.home / "engine" / "postgres" / "postmaster.pid").read_text().split()[0])
        children = psutil.Process(pid).children()
        os.kill(pid, signal.SIGKILL)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self.timeline.say("SIGKILL to PostgreSQL")

    def kill_run(self, run: str) -> None:
        """SIGKILL to the process of one flow run."""
        assert self.process
        killed = 0
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if each.environ().get("PREFECT__FLOW_RUN_ID") == run:
                    each.kill()
                    killed += 1
        assert killed, f"no process runs {run}"
        self.timeline.say(f"SIGKILL to the worker of {run}")


@dataclass
class Watch:
    """The runs that no run is above, with every change of their states on the timeline."""

    api: str
    timeline: Timeline
    states: dict[str, str] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    flows: dict[str, str] = field(default_factory=dict)

    def look(self) -> None:
        """One look; what has changed is said."""
        for each in self.asked("flows/filter", {}):
            self.flows[each["id"]] = each["name"]
        body = {
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 200,
            "flow_runs": {"parent_task_run_id": {"is_null_": True}},
        }
        for run in reversed(self.asked("flow_runs/filter", body)):
            state = run["state"] or {"type": "SCHEDULED", "name": "none", "message": None}
            known, self.states[run["id"]] = self.states.get(run["id"]), state["name"]
            self.runs[run["id"]] = run
            if state["type"] != "SCHEDULED" and state["name"] not in (known, *_ON_THE_WAY):
                text = f": {state['message']}" if state["message"] else ""
                self.timeline.say(f"{run['name']} is {state['name']}{text}"[:200])

    def asked(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the server answers; nothing while it is away."""
        try:
            url = f"{self.api}/{path}"
            answer = httpx.post(url, json=dict(body), timeout=ANSWER_SECONDS, auth=locks.auth(url))
            found: list[dict[str, Any]] = answer.raise_for_status().json()
        except httpx.HTTPError:
            return []
        return found

    def flow(self, run: Mapping[str, Any]) -> str:
        return self.flows.get(run["flow_id"], "?")

    def of(self, flow: str, *types: str) -> list[dict[str, Any]]:
        """The runs of one flow that are in a state of these types."""
        found = [each for each in self.runs.values() if self.flow(each) == flow and each["state"]]
        return [each for each in found if each["state"]["type"] in types]

    def in_state(self, name: str) -> list[dict[str, Any]]:
        """The runs of any flow in a state of that name."""
        return [each for each in self.runs.values() if each["state"] and each["state"]["name"] == name]

    def history(self, run: str) -> list[dict[str, Any]]:
        """The states of a run so far."""
        url = f"{self.api}/flow_run_states/"
        answer = httpx.get(url, params={"flow_run_id": run}, timeout=ANSWER_SECONDS, auth=locks.auth(url))
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def until(self, reached: Callable[[], Any], what: str, seconds: float) -> Any:
        """Looks on until something is so; says and raises what has not come within so many seconds."""
        deadline = time.monotonic() + seconds
        while not (answer := reached()):
            assert time.monotonic() < deadline, f"not seen within {seconds:.0f} s: {what}"
            self.look()
            time.sleep(LOOK_SECONDS)  # between two looks at a service that lives in real time
        return answer

    def for_seconds(self, seconds: float) -> None:
        """Looks on for so long."""
        deadline = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= deadline, "the time", 10 * seconds + 600)
