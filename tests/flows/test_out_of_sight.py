"""A step is taken out of the file while learners wait behind it: every command names them, and one brings them back."""

from pathlib import Path
from typing import Any

import yaml

from retirement.sandbox.pipelines import states
from tests.flows.conftest import Command, Platform, sandbox

NOTES = "RETIRING_NOTES"


def learner(name: str, state: str) -> dict[str, Any]:
    """A learner whose request is overdue."""
    return {"username": name, "email": f"{name}@canary.example", "state": state, "requested_days_ago": 40, "notes": 1}


def without_notes(platform: Platform) -> None:
    steps = yaml.safe_load(platform.config.read_text(encoding="utf-8"))["pipeline"]
    platform.configure(pipeline=[step for step in steps if step["start"] != NOTES])


def test_learners_behind_a_step_that_was_taken_out_are_named_and_brought_back(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """One was parked by our own run, another left by the former driver; neither is in a list of today's states."""
    order = states("default")
    order[1:1] = ["LOCKING_ACCOUNT", "LOCKING_COMPLETE"]
    seed = {"states": order, "learners": [learner("bo", "PENDING"), learner("cy", "LOCKING_COMPLETE")]}
    with sandbox(tmp_path, seed=seed) as platform:
        platform.configure(retry={"attempts": 1, "task_retries": 0})
        said = [*("--json", "--config", platform.config)]
        # The step after the notes.
        platform.arm({"path": "edx_proctoring", "method": "POST", "status": 503, "times": 1000})
        assert retirement("retire-queue", *said).document["outcomes"] == {"parked": 1}
        assert platform.states() == {"bo": "NOTES_COMPLETE", "cy": "LOCKING_COMPLETE"}
        platform.arm()
        without_notes(platform)
        bo, cy = platform.user_id("bo"), platform.user_id("cy")

        status = retirement("status", *said).document
        doctor = retirement("doctor", *said).document["checks"]
        stuck = retirement("reconcile", *said)
        one = retirement("retire-learner", "--user-id", str(bo), *said)
        plan = retirement("plan", "--user-id", str(cy), *said).document
        redrive = retirement("redrive", "--user-id", str(bo), "--config", platform.config)
        night = retirement("retire-queue", *said)
        silent = retirement("reconcile", "--adopt", "--config", platform.config)
        adopted = retirement("reconcile", "--adopt", "--user-id", str(bo), "--yes", *said)

        assert {each["state"]: each["user_ids"] for each in status["in_a_state_that_no_step_has"]} == {
            "LOCKING_COMPLETE": [cy],
            "NOTES_COMPLETE": [bo],
        }
        assert (sorted(status["overdue"]), status["waiting"]) == (sorted([bo, cy]), 0)
        (watch,) = [each for each in doctor if each["name"] == "watch"]
        assert watch["verdict"] == "warning"
        assert "LOCKING_COMPLETE, 1; NOTES_COMPLETE, 1 (2 overdue)" in watch["detail"]
        assert (stuck.code, {each["learner"] for each in stuck.document["learners"]}) == (1, {bo, cy})
        assert (one.code, plan["state"]) == (1, "LOCKING_COMPLETE")
        for text in (one.document["reason"], " ".join(plan["warnings"]), redrive.out):
            assert "a state that no step has: `retirement reconcile --adopt --user-id" in text
        assert (night.code, night.document["batch"]) == (1, 0)
        assert len([text for text in night.document["errors"] if "overdue and not taken" in text]) == 2
        assert (silent.code, "--yes" in silent.err) == (2, True)
        (moved,) = adopted.document["learners"]
        assert (adopted.code, moved["what"], moved["target"]) == (0, "moved", "FORUMS_COMPLETE")
        assert retirement("retire-learner", "--user-id", str(bo), *said).code == 0
        nothing = retirement("redrive", "--config", platform.config)
        assert (nothing.code, nothing.out) == (0, "no learner is ERRORED\n")
        assert platform.states()["bo"] == "COMPLETE"
