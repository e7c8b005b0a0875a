"""`retirement doctor --coverage`: what the pipeline does not reach, for people and for programs."""

from pathlib import Path

from .conftest import Command, sandbox


def test_what_the_pipeline_does_not_reach_is_listed(tmp_path: Path, retirement: Command) -> None:
    """It asks the LMS for its states, blames nobody, and changes nothing."""
    with sandbox(tmp_path, "--learners", "1", "--pipeline", "minimal") as platform:
        told = retirement("doctor", "--coverage", "--config", platform.config)
        listed = retirement("doctor", "--coverage", "--json", "--config", platform.config)

        assert (told.code, listed.code) == (0, 0)
        assert "Places that hold learners, and that nothing here erases" in told.out
        assert "enterprise-access" in told.out
        assert (listed.document["lms_asked"], listed.document["problem"]) == (True, None)
        kinds = {gap["kind"] for gap in listed.document["gaps"]}
        assert {"operation", "store"} <= kinds
        assert {each["method"] for each in platform.requests()} <= {"GET", "POST"}
        assert set(platform.states().values()) == {"PENDING"}


def test_a_silent_lms_leaves_the_rest(tmp_path: Path, retirement: Command) -> None:
    """What the file says needs nobody to answer."""
    with sandbox(tmp_path, "--learners", "1") as platform:
        config = platform.config
        platform.configure(lms={"url": "http://127.0.0.1:9"}, retry={"attempts": 1})
    answer = retirement("doctor", "--coverage", "--json", "--config", config)

    assert answer.code == 0
    assert answer.document["lms_asked"] is False
    assert answer.document["problem"].startswith("the LMS could not be asked for its states: LMS: ")
    assert any(gap["kind"] == "store" for gap in answer.document["gaps"])


def test_a_wrong_file_is_a_failure(tmp_path: Path, retirement: Command) -> None:
    """Nothing can be told of a pipeline that nobody can read."""
    config = tmp_path / "retirement.yaml"
    config.write_text("pipeline: []\n", encoding="utf-8")

    assert retirement("doctor", "--coverage", "--config", config).code == 2
