"""The logs of runs in Prefect: what happened between the first line and the last, whatever has started the run."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests import patient
from tests.flows.conftest import Command, Flow, sandbox
from tests.flows.runs import runs_of
from tests.patient import until

PERSON = {"email": "zoe.canary@canary.example", "name": "Zoe Canary", "state": "PENDING", "requested_days_ago": 20}
SEED = {
    "learners": [
        {**PERSON, "username": f"zoe-canary-{number}", "email": f"zoe.canary.{number}@canary.example"}
        for number in range(3)
    ]
}


def lines(api: str, flow: str, **flow_runs: Any) -> list[str]:
    """What the newest run of a flow has logged between beginning and end, with its steps."""
    run = runs_of(api, flow, **flow_runs)[0]
    body = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC", "limit": 200}

    def whole() -> list[str]:
        """The lines, once the last one is there: a busy server takes them up after the run has ended."""
        found = patient.post(f"{api}/logs/filter", json=body).raise_for_status().json()
        said = [each["message"] for each in found]
        return said if said and said[-1].startswith("Finished in state") else []

    said = until(whole)
    assert said[0].startswith("Beginning "), said
    # Which file a run of a deployment works with is its first line.
    return [each for each in said[1:-1] if not each.startswith("configuration ")]


def test_runs_of_the_command_line_log_what_they_do(tmp_path: Path, engine: str, retirement: Command) -> None:
    """The queue each learner, a learner's run each step; the terminal shows none of it, and no line names a learner."""
    with sandbox(tmp_path, "--pipeline", "minimal", seed=SEED) as platform:
        steps = len(yaml.safe_load(platform.config.read_text("utf-8"))["pipeline"])
        alone = retirement("retire-learner", "--user-id", "101", "--config", platform.config)
        of_one = lines(engine, "retire-learner")
        queue = retirement("retire-queue", "--config", platform.config)
        of_queue = lines(engine, "retire-queue")
        below = {"any_": [runs_of(engine, "retire-queue")[0]["id"]]}
        of_learner = lines(engine, "retire-learner", parent_flow_run_id=below)

    assert (alone.code, queue.code, alone.err, queue.err) == (0, 0, "", "")
    assert "Beginning" not in alone.out + queue.out
    for said in (of_one, of_learner):
        # All of them in one entry, when the learner's run is through.
        [entry] = [each for each in said if re.search("Erased|Absent|Accepted", each)]
        assert len([line for line in entry.splitlines() if re.search("Erased|Absent|Accepted", line)]) == steps, said
    assert of_queue[0].startswith("2 learners wait")
    assert sorted(each.split(" ")[1] for each in of_queue if "retired" in each) == ["102:", "103:"]
    assert "canary" not in str([*of_one, *of_queue, *of_learner]).lower()


def test_the_event_feed_has_what_became_of_a_run(tmp_path: Path, engine: str, retirement: Command) -> None:
    """Its states some seconds later, without those of its steps; no event names a learner."""
    with sandbox(tmp_path, "--pipeline", "minimal", seed=SEED) as platform:
        assert retirement("retire-learner", "--user-id", "101", "--config", platform.config).code == 0
    run = runs_of(engine, "retire-learner")[0]["id"]

    def events() -> list[dict[str, Any]]:
        given = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run}"]}}, "limit": 50}
        answer = patient.post(f"{engine}/events/filter", json=given).raise_for_status().json()
        return list(answer["events"])

    until(lambda: "prefect.flow-run.Retired" in [each["event"] for each in events()])
    assert [each["event"] for each in events() if "task-run" in each["event"]] == []
    assert "canary" not in str(events()).lower()


def test_every_other_flow_logs_what_it_finds(tmp_path: Path, engine: str, flow: Flow, retirement: Command) -> None:
    """A line for each receipt, row, check and organisation."""
    config = tmp_path / "retirement.yaml"
    reports = tmp_path / "reports"
    reports.mkdir(mode=0o700)
    with sandbox(tmp_path, "--pipeline", "all", seed=SEED) as platform:
        platform.configure(cleanup_days=0, partner_reports=str(reports))
        assert retirement("retire-queue", "--config", config).code == 0
        flow("verify_erasure", config=config, every=True)
        verified = lines(engine, "verify-erasure")
        flow("partner_report", config=config)
        flow("cleanup", config=config, dry_run=False)
        cleaned = lines(engine, "cleanup")
        flow("doctor", config=config)
        checked = lines(engine, "doctor")

    assert verified
    assert all(re.match(r"receipt \d+; learner 10[123]; step RETIRING_", each) for each in verified), verified
    assert sorted(each.split(";")[0] for each in cleaned) == ["learner 101", "learner 102", "learner 103"]
    assert [each for each in checked if "ok" in each]
    assert "canary" not in str([*verified, *cleaned, *checked]).lower()
