"""`retirement config import` and `config show`: what a job had on its command line, the misc step, the next times."""

import json
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from retirement.cli import imported
from retirement.cli.config import app

from .desk import ANSIBLE, ENVIRON, OWN, TUBULAR, Desk

MAILINGS = "    - ['RETIRING_EMAIL_LISTS', 'EMAIL_LISTS_COMPLETE', 'LMS', 'retirement_retire_mailings']\n"
SAMPLE = TUBULAR.replace("    - ['RETIRING_LMS'", f"{MAILINGS}    - ['RETIRING_LMS'")


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, *words: str, answers: str = "") -> None:
        found = CliRunner().invoke(app, list(words), input=answers, env=dict(ENVIRON))
        self.code, self.out, self.err = found.exit_code, found.stdout, found.stderr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write(TUBULAR)
    return desk


def test_import_refuses_to_guess_how_long_a_request_waits(desk: Desk) -> None:
    """Where no person is there to ask: one line with file, key and option, and exit code 2."""
    said = Said("import", str(desk.path))

    (line,) = said.err.splitlines()
    assert (said.code, said.out) == (2, "")
    assert desk.short(line) == (
        "retirement.yaml:1: cool_off_days: not in this file, as it may have stood on a command line, "
        "and never guessed; give --cool-off-days N (Tutor's jobs pass 30, edx.org's 14; the scripts have 7 by "
        "themselves, the Ansible role 5)"
    )


@pytest.mark.parametrize("days", ["0", "14", "30"])
def test_import_takes_the_days_that_are_given(desk: Desk, days: str) -> None:
    """Batch size and threshold are the most careful known ones, with a warning that names their options."""
    said = Said("import", str(desk.path), "--cool-off-days", days)

    assert said.code == 0
    assert f"cool_off_days: {days}\n" in said.out
    assert "queue:\n  limit: 200\n  threshold: 251\n" in said.out
    assert "max_user_batch_size, user_count_error_threshold: not in this file" in said.err
    assert "`retirement config import` --batch-size, --threshold" in said.err


def test_import_takes_all_three_without_a_warning(desk: Desk) -> None:
    """And what is given goes before what the file says."""
    desk.write(TUBULAR + "max_user_batch_size: 500\n")

    said = Said("import", str(desk.path), "--cool-off-days", "14", "--batch-size", "50", "--threshold", "60")

    assert (said.code, said.err) == (0, "")
    assert "queue:\n  limit: 50\n  threshold: 60\n" in said.out


def test_import_asks_on_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the days without a proposal, for the others with the careful one; a wrong answer is asked for again."""
    monkeypatch.setattr(imported, "_can_ask", lambda source: source == desk.path)

    said = Said("import", str(desk.path), answers="soon\n400\n21\n\n90\n")

    assert said.code == 0
    assert "cool_off_days: 21\n" in said.out
    assert "queue:\n  limit: 200\n  threshold: 90\n" in said.out
    assert "Days that a request waits" in said.err


def test_import_asks_nothing_of_a_file_that_says_all(desk: Desk) -> None:
    """A file of our own dialect never does, and one with the three keys."""
    desk.write(OWN)
    assert (Said("import", str(desk.path)).code, Said("import", str(desk.path)).err) == (0, "")
    desk.write(TUBULAR + "cool_off_days: 14\nmax_user_batch_size: 5\nuser_count_error_threshold: 6\n")
    assert (Said("import", str(desk.path)).code, Said("import", str(desk.path)).err) == (0, "")


def test_add_misc_writes_the_file_and_prints_the_states(desk: Desk) -> None:
    """The refusal names the command; its result loads, and the LMS needs two states more."""
    desk.write(SAMPLE)
    target = desk.folder / "own.yaml"

    refused = Said("import", str(desk.path), "--cool-off-days", "14")
    said = Said("import", str(desk.path), "--cool-off-days", "14", "--add-misc", "-o", str(target))

    assert refused.code == 2
    assert "`retirement config import --add-misc`" in refused.err
    assert (said.code, said.out) == (0, "")
    states = [line.removeprefix("  - ") for line in said.err.splitlines() if line.startswith("  - ")]
    assert states[-7:-3] == ["RETIRING_LMS_MISC", "LMS_MISC_COMPLETE", "RETIRING_LMS", "LMS_COMPLETE"]
    assert len(desk.load(target.read_text()).pipeline) == 4


def test_add_misc_leaves_a_whole_pipeline_alone(desk: Desk) -> None:
    """It may be given for every file of a folder."""
    desk.write(OWN)

    assert Said("import", str(desk.path), "--add-misc").out == Said("import", str(desk.path)).out


def test_add_misc_leaves_the_pipeline_of_the_role_alone(desk: Desk) -> None:
    """The three steps that an Ansible file without a pipeline stands for have the misc step already."""
    desk.write(ANSIBLE)
    command = ("import", str(desk.path), "--cool-off-days", "5")

    assert (Said(*command, "--add-misc").code, Said(*command, "--add-misc").out) == (0, Said(*command).out)


def test_steps_at_the_same_time_wait_for_the_new_step(desk: Desk) -> None:
    """The account step waited for two; now the misc step does, and the account step for it."""
    text = OWN.replace("retirement_lms_retire_misc", "retirement_retire_mailings").replace(
        "operation: retirement_lms_retire}",
        "operation: retirement_lms_retire, after: [RETIRING_ENROLLMENTS, RETIRING_MAIL]}",
    )
    desk.write(text.replace("RETIRING_LMS_MISC", "RETIRING_MAIL").replace("LMS_MISC_COMPLETE", "MAIL_COMPLETE"))

    said = Said("import", str(desk.path), "--add-misc")

    steps = {step.name: step.after for step in desk.load(said.out).pipeline}
    assert steps["RETIRING_LMS_MISC"] == ("RETIRING_ENROLLMENTS", "RETIRING_MAIL")
    assert steps["RETIRING_LMS"] == ("RETIRING_LMS_MISC",)


def test_show_prints_the_next_two_times_of_each_schedule(desk: Desk) -> None:
    """In the zone of the schedule; as comments, so that what is printed is a file all the same."""
    desk.write(OWN + 'schedule: "0 4 * * *"\nverify_schedule: null\ntimezone: Asia/Tokyo\n')

    told = Said("show", "--config", str(desk.path))
    document = json.loads(Said("show", "--config", str(desk.path), "--json").out)

    assert sorted(document["next_times"]) == ["reconcile_schedule", "schedule"]
    first, second = document["next_times"]["schedule"]
    assert (first[10:], second[10:]) == ("T04:00+09:00", "T04:00+09:00")
    assert f"# schedule: next {first}, then {second} (Asia/Tokyo)" in told.out
    assert desk.load(told.out).timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    "text",
    [
        OWN + "cool_off_days: 010\n",
        OWN + "schedule: 0 0 31 2 *\n",
        OWN.replace("${RETIREMENT_CLIENT_SECRET}", "file:/dev/null"),
        "LMS_HOST: [a]\nPLUGINS: [retirement]\nENABLE_HTTPS: true\nRETIREMENT_EDX_OAUTH2_CLIENT_SECRET: s\n",
        "client_id: {{ ID }}\n{% if A %}\n",
    ],
)
def test_a_refusal_is_one_line_and_exit_code_2(desk: Desk, text: str) -> None:
    """With the file, the line, the key and the fix."""
    desk.write(text)

    said = Said("show", "--config", str(desk.path))

    (line,) = said.err.splitlines()
    assert (said.code, said.out) == (2, "")
    assert desk.short(line).startswith("retirement.yaml:")


def test_the_options_are_explained() -> None:
    """Where they stood before is said in the help."""
    command = get_command(app).commands["import"]  # type: ignore[attr-defined]  # a group has commands

    helps = {each.name: each.help for each in command.params if each.name in ("cool_off_days", "add_misc")}
    assert "edx.org's 14" in helps["cool_off_days"]
    assert "misc step" in helps["add_misc"]
