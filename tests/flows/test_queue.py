"""The queue from end to end: a sandbox on sockets, Prefect's server on PostgreSQL, the console command."""

from pathlib import Path

import pytest

from retirement.sandbox import seeds
from retirement.sandbox.pipelines import PIPELINES, states
from tests import patient
from tests.flows.conftest import Command, Start, sandbox
from tests.flows.runs import Runs, learners_runs
from tests.patient import until


@pytest.mark.parametrize("learners", [40, pytest.param(200, marks=pytest.mark.nightly)])
def test_many_learners_are_retired_and_every_run_and_step_is_recorded(
    tmp_path: Path, engine: str, retirement: Command, learners: int
) -> None:
    """All COMPLETE; Prefect holds one ended flow run a learner and one ended task run a step.

    A record is lost in a long burst, if at all; so 200 learners are retired each night.
    """
    with sandbox(tmp_path, "--learners", str(learners)) as platform:
        answer = retirement("retire-queue", "--json", "--config", platform.config)

        assert (answer.code, answer.err) == (0, "")
        document = answer.document
        assert document["outcomes"] == {"retired": learners}
        assert document["records"] == {"flow_runs": learners, "task_runs": 9 * learners, "task_runs_lost": 0}
        assert set(platform.states().values()) == {"COMPLETE"}
        assert platform.residue() == []
    by_learner = task_runs_by_flow_run(engine, document["flow_run"])
    assert len(by_learner) == learners
    expected = sorted(step["start"] for step in PIPELINES["default"])
    assert all(sorted(names) == expected for names in by_learner.values())
    assert drawn(engine, document["flow_run"]) == dict.fromkeys(by_learner, "COMPLETED")
    assert {history(engine, run) for run in by_learner} == {("Running", "Retired")}


def drawn(engine: str, queue_run: str) -> dict[str, str]:
    """The nodes of a queue run's graph in the UI, each a run of a learner, with the types of their states."""
    graph = patient.get(f"{engine}/flow_runs/{queue_run}/graph-v2").raise_for_status().json()
    nodes = [node for _, node in graph["nodes"]]
    assert {node["kind"] for node in nodes} == {"flow-run"}
    assert all(node["label"].startswith("retire-learner / learner-") for node in nodes)
    return {node["id"]: node["state_type"] for node in nodes}


def history(engine: str, run: str) -> tuple[str, ...]:
    """The names of the states of a run, the first one first."""
    states = patient.get(f"{engine}/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
    return tuple(state["name"] for state in sorted(states, key=lambda each: str(each["timestamp"])))


def task_runs_by_flow_run(engine: str, queue_run: str) -> dict[str, list[str]]:
    """The names of the ended task runs of each learner's flow run."""
    wanted = {"flow_runs": {"parent_flow_run_id": {"any_": [queue_run]}}}
    found: dict[str, list[str]] = {}
    offset = 0
    while page := patient.post(
        f"{engine}/task_runs/filter", json={**wanted, "limit": 200, "offset": offset, "sort": "ID_DESC"}
    ).json():
        for run in page:
            assert (run["state_type"], run["run_count"], run["flow_run_run_count"]) == ("COMPLETED", 1, 1)
            found.setdefault(run["flow_run_id"], []).append(run["name"])
        offset += len(page)
    return found


def test_a_record_that_an_operator_ends_meanwhile_holds_up_no_learner(
    tmp_path: Path, engine: str, retirement: Command, start: Start, runs: Runs
) -> None:
    """Neither the learner of that record nor those beside it."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        platform.hold_up("/retire_misc/")
        run = start("retire-queue", "--json", "--config", platform.config)
        queue = until(runs.every)[0]["id"]
        below = until(lambda: len(found := learners_runs(engine, queue)) == 3 and found)
        ended = {"state": {"type": "CRASHED", "message": "by an operator"}, "force": True}
        patient.post(f"{engine}/flow_runs/{below[0]['id']}/set_state", json=ended).raise_for_status()
        platform.arm()
        answer = run.ended()

        assert (answer.code, answer.document["outcomes"]) == (0, {"retired": 3}), answer.out + answer.err
        assert set(platform.states().values()) == {"COMPLETE"}
    assert {runs.state(each["id"]) for each in below[1:]} == {"Retired"}


def test_the_requests_of_a_learner_are_the_reference_drivers(tmp_path: Path, engine: str, retirement: Command) -> None:
    """GET status; per step PATCH start, call, PATCH end; PATCH COMPLETE; one token for all of it.

    Our one addition: the row is read once more before the learner is called retired.
    """
    with sandbox(tmp_path, "--learners", "1") as platform:
        assert retirement("retire-queue", "--config", platform.config).code == 0

        requests = platform.requests()
    update = ("lms", "PATCH", "/api/user/v1/accounts/update_retirement_status/", 204)
    calls = [
        ("lms", "POST", "/api/enrollment/v1/unenroll/", 200),
        ("lms", "POST", "/api/discussion/v1/accounts/retire_forum/", 204),
        ("lms", "POST", "/api/edxnotes/v1/retire_user/", 204),
        ("lms", "POST", "/api/edx_proctoring/v1/retire_user/101/", 204),
        ("lms", "PUT", "/api/user/v1/accounts/retirement_partner_report/", 204),
        ("credentials", "POST", "/api/v2/replace_usernames/", 200),
        ("license_manager", "POST", "/api/v1/retire_user", 204),
        ("lms", "POST", "/api/user/v1/accounts/retire_misc/", 204),
        ("lms", "POST", "/api/user/v1/accounts/retire/", 204),
    ]
    status = ("lms", "GET", "/api/user/v1/accounts/zoe-canary-0001/retirement_status/", 200)
    expected = [status, *(each for call in calls for each in (update, call, update)), update, status]
    of_learner = [
        tuple(each[key] for key in ("service", "method", "path", "status")) for each in requests if each["user_id"]
    ]
    assert of_learner == expected
    assert [each["path"] for each in requests].count("/oauth2/access_token") == 1


def test_a_dag_runs_independent_steps_at_once_and_leaves_no_residue(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """The twenty-five hard cases through the pipeline whose middle six steps do not wait for each other.

    The number of learners at a time is found out.
    """
    with sandbox(tmp_path, "--pipeline", "dag", seed=seeds.demo(states("dag"))) as platform:
        platform.configure(queue={"at_once": "auto"})
        answer = retirement("retire-queue", "--json", "--config", platform.config)

        assert (answer.code, answer.document["outcomes"]) == (0, {"retired": 25})
        assert platform.residue() == []


def test_a_learner_who_is_refused_does_not_stop_the_others(tmp_path: Path, engine: str, retirement: Command) -> None:
    """One ERRORED with a fixed reason, nine COMPLETE, exit code 1."""
    with sandbox(tmp_path, "--learners", "10") as platform:
        platform.arm({"path": "/retire_misc/", "method": "POST", "status": 409, "body": "zoe-canary-0003 is odd"})
        answer = retirement("retire-queue", "--json", "--config", platform.config)

        assert answer.code == 1
        assert answer.document["outcomes"] == {"retired": 9, "errored": 1}
        assert sorted(platform.states().values()) == ["COMPLETE"] * 9 + ["ERRORED"]
        assert "zoe" not in answer.out + answer.err


def test_a_queue_deeper_than_the_threshold_is_held_before_anything_is_called(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """The true depth counts, not the batch that would be cut from it. Where nobody is asked, it ends at once."""
    with sandbox(tmp_path, "--learners", "301") as platform:
        platform.configure(guard={"wait_hours": 0})
        answer = retirement("retire-queue", "--json", "--limit", "5", "--config", platform.config)

        assert answer.code == 3
        assert answer.document["errors"][0].startswith("301 learners wait, more than queue.threshold, which is 300")
        assert set(platform.states().values()) == {"PENDING"}
        assert not [each for each in platform.requests() if each["user_id"]]


def test_one_learner_can_be_retired_by_user_id_and_by_username(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """Both name the run by the LMS user id; nobody else is touched."""
    with sandbox(tmp_path, seed=seeds.learners(3)) as platform:
        by_id = retirement("retire-learner", "--user-id", "101", "--json", "--config", platform.config)
        named = ("retire-learner", "--username", "-", "--json", "--config", platform.config)
        by_name = retirement(*named, typed="zoe-canary-0002\n")
        again = retirement("retire-learner", "--user-id", "101", "--json", "--config", platform.config)
        nobody = retirement("retire-learner", "--user-id", "999", "--json", "--config", platform.config)

        assert list(platform.states().values()) == ["COMPLETE", "COMPLETE", "PENDING"]
    assert [each.code for each in (by_id, by_name, again, nobody)] == [0, 0, 0, 1]
    assert by_name.document["user_id"] == 102
    assert again.document["reason"] == "was COMPLETE already"
    name = patient.get(f"{engine}/flow_runs/{by_name.document['flow_run']}").json()["name"]
    assert name == "learner-102"


def test_a_missing_route_stops_the_run_before_anybody_is_touched(
    tmp_path: Path, engine: str, retirement: Command
) -> None:
    """A stock credentials service has no `user/retire`: exit code 2, everybody still PENDING."""
    with sandbox(tmp_path, "--learners", "3") as platform:
        text = platform.config.read_text(encoding="utf-8")
        head, _, tail = text.partition("  service: CREDENTIALS\n  operation: replace_usernames")
        platform.config.write_text(f"{head}  service: CREDENTIALS\n  operation: retire_learner{tail}", encoding="utf-8")
        answer = retirement("retire-queue", "--config", platform.config)

        assert answer.code == 2
        assert "CREDENTIALS: GET /user/retire/ answered 404: no such route" in answer.err
        assert set(platform.states().values()) == {"PENDING"}


def test_lost_replies_on_real_sockets_harm_nobody(tmp_path: Path, engine: str, retirement: Command) -> None:
    """Moves that were done and not answered, and calls that were, are read back or repeated: all COMPLETE."""
    with sandbox(tmp_path, "--learners", "4") as platform:
        lost = {"after": True, "drop": True, "times": 3}
        platform.arm(
            {"path": "/update_retirement_status/", "method": "PATCH", **lost},
            {"path": "/unenroll/", "method": "POST", **lost},
            {"path": "/retire/", "method": "POST", **lost},
            {"path": "/replace_usernames/", "method": "POST", "service": "credentials", **lost},
        )
        answer = retirement("retire-queue", "--json", "--config", platform.config)

        assert (answer.code, answer.document["outcomes"]) == (0, {"retired": 4})
        assert platform.residue() == []
