"""Sites that cannot work: one clear line, exit code 2, and no learner touched."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from retirement.sandbox.pipelines import states
from retirement.sandbox.seeds import learners
from tests.flows.conftest import Command, Platform, sandbox

Change = Callable[[dict[str, dict[str, object]], Platform], None]


def wrong_secret(document: dict[str, dict[str, object]], _platform: Platform) -> None:
    document["lms"]["client_secret"] = "not-the-secret"


def missing_permission(document: dict[str, dict[str, object]], platform: Platform) -> None:
    document["lms"] |= platform.clients["plain"]


def wrong_path(document: dict[str, dict[str, object]], _platform: Platform) -> None:
    document["lms"]["url"] = f"{document['lms']['url']}/elsewhere"


def another_service(document: dict[str, dict[str, object]], platform: Platform) -> None:
    document["lms"]["url"] = platform.urls["credentials"]


def nobody_there(document: dict[str, dict[str, object]], _platform: Platform) -> None:
    document["lms"]["url"] = "http://127.0.0.1:9"
    document["retry"] = {"attempts": 2, "seconds": 2}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (wrong_secret, "LMS: POST /oauth2/access_token answered 401: the LMS does not accept client_id"),
        (missing_permission, "answered 403: credentials or permission missing"),
        (wrong_path, "LMS: POST /oauth2/access_token answered 404: no such route"),
        (another_service, "LMS: POST /oauth2/access_token answered 404: no such route"),
        (nobody_there, "LMS: POST /oauth2/access_token: no connection"),
    ],
)
def test_a_site_that_cannot_work_is_said_in_one_line(
    tmp_path: Path, retirement: Command, change: Change, line: str
) -> None:
    """Queue and doctor both end with 2 and the same sentence; no engine has to be started for it."""
    with sandbox(tmp_path, "--learners", "2") as platform:
        document = yaml.safe_load(platform.config.read_text(encoding="utf-8"))
        change(document, platform)
        platform.config.write_text(yaml.safe_dump(document), encoding="utf-8")
        queue = retirement("retire-queue", "--config", platform.config)
        doctor = retirement("doctor", "--json", "--config", platform.config)

        assert (queue.code, doctor.code) == (2, 2)
        assert line in queue.err
        assert len(queue.err.splitlines()) == 1
        assert any(line in check["detail"] for check in doctor.document["checks"])
        assert set(platform.states().values()) == {"PENDING"}
        assert not [each for each in platform.requests() if each["method"] in ("PATCH", "PUT")]


def test_states_that_the_lms_lacks_are_named(tmp_path: Path, retirement: Command) -> None:
    """The queue, the doctor and `config states` say which, and what to do."""
    with sandbox(tmp_path, seed=learners(1, states("minimal"))) as platform:
        queue = retirement("retire-queue", "--config", platform.config)
        listing = retirement("config", "states", "--json", "--config", platform.config)

        assert queue.code == 2
        assert "the LMS lacks the states RETIRING_FORUMS, FORUMS_COMPLETE" in queue.err
        assert listing.document["states"] == states("default")
        assert "RETIRING_NOTES" in listing.document["lms_lacks"]
        assert "RETIRING_LMS" not in listing.document["lms_lacks"]


def test_states_in_another_order_are_found_before_anybody_moves(tmp_path: Path, retirement: Command) -> None:
    """The LMS refuses backward moves, so the pipeline has to follow its order."""
    ordered = states("default")
    ordered[1:5] = [*ordered[3:5], *ordered[1:3]]
    with sandbox(tmp_path, seed=learners(1, ordered)) as platform:
        queue = retirement("retire-queue", "--config", platform.config)

        assert queue.code == 2
        assert "the LMS has its states in another order than the pipeline" in queue.err
        assert set(platform.states().values()) == {"PENDING"}


def test_an_external_prefect_server_that_does_not_answer_is_named(tmp_path: Path, retirement: Command) -> None:
    """PREFECT_API_URL is the operator's word; nothing is started in its place."""
    with sandbox(tmp_path, "--learners", "1") as platform:
        answer = retirement("retire-queue", "--config", platform.config, PREFECT_API_URL="http://127.0.0.1:9/api")

        assert answer.code == 2
        assert "PREFECT_API_URL: no Prefect server answers" in answer.err


@pytest.mark.parametrize(("worker_is_staff", "code", "verdict"), [(False, 2, "failure"), (True, 0, "ok")])
def test_what_only_staff_is_shown_is_asked_beforehand_where_it_is_needed(
    tmp_path: Path, own_home: Path, retirement: Command, worker_is_staff: bool, code: int, verdict: str
) -> None:
    """A hold on an organisation stops every run of a worker who is not staff: the doctor says so before the night.

    In a home of its own: on a server that other tests use, schedules of theirs are overdue.
    """
    home = {"RETIREMENT_HOME": str(own_home)}
    seed = {**learners(1, states("default")), "settings": {"worker_is_staff": worker_is_staff}}
    with sandbox(tmp_path, seed=seed) as platform:

        def asked() -> list[tuple[str, str]]:
            answer = retirement("doctor", "--json", "--config", platform.config, **home)
            assert answer.code == (code if held else 0)
            return [(each["verdict"], each["detail"]) for each in answer.document["checks"] if each["name"] == "staff"]

        held = False
        assert asked() == []
        why = ("--basis", "lawsuit 17", "--by", "ops", "--until", "2999-01-01")
        held = retirement("hold", "add", "--org", "OrgA", *why, "--config", platform.config, **home).code == 0
        [(found, text)] = asked()
        assert (held, found) == (True, verdict)
        assert text.endswith("needed for a hold on an organisation")
