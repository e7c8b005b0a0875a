"""A step that looks a learner up by username cannot come when another has destroyed it."""

import pytest

from .desk import ACCOUNT, ENROLLMENTS, FORUMS, LMS, MISC, TUBULAR, UNSAID, Desk, pipeline

NOTES = "{start: RETIRING_NOTES, end: NOTES_COMPLETE, service: LMS, operation: retirement_retire_notes}"
LATE = "looks the learner up by username, which RETIRING_LMS destroys in LMS; let it end before RETIRING_LMS"


def test_a_look_up_after_the_account_is_an_error(desk: Desk) -> None:
    """It would find nobody and report success."""
    assert [f"retirement.yaml:7: pipeline[1].operation: RETIRING_ENROLLMENTS {LATE}"] == desk.problems(
        LMS + pipeline(ACCOUNT, ENROLLMENTS)
    )


def test_a_look_up_at_the_same_time_is_an_error(desk: Desk) -> None:
    """Without an edge either may be first."""
    text = LMS + pipeline(ENROLLMENTS, MISC.replace("}", ", after: []}"), ACCOUNT)

    assert [f"retirement.yaml:6: pipeline[0].operation: RETIRING_ENROLLMENTS {LATE}"] == desk.problems(text)


def test_an_edge_over_other_steps_is_enough(desk: Desk) -> None:
    """What ends before a step that ends before is safe."""
    assert (
        desk.problems(LMS + pipeline(ENROLLMENTS, MISC.replace("}", ", after: [RETIRING_ENROLLMENTS]}"), ACCOUNT)) == []
    )


def test_other_services_have_their_own_username(desk: Desk) -> None:
    """Credentials may rename whenever it likes, but not before its own look-ups."""
    services = "services: {CREDENTIALS: {url: https://credentials.example.com}}\n"
    rename = "{start: RENAMING, end: RENAME_COMPLETE, service: CREDENTIALS, operation: replace_usernames, after: []}"
    retire = "{start: CRED, end: CRED_COMPLETE, service: CREDENTIALS, operation: retire_learner}"

    assert desk.problems(LMS + services + pipeline(rename, ENROLLMENTS, ACCOUNT)) == []
    assert desk.problems(LMS + services + pipeline(rename, retire)) == [
        (
            "retirement.yaml:8: pipeline[1].operation: CRED looks the learner up by username, "
            "which RENAMING destroys in CREDENTIALS; let it end before RENAMING"
        )
    ]


def test_a_forum_that_renames_comes_after_every_look_up(desk: Desk) -> None:
    """Generation v2 changes the account."""
    services = "services: {LMS: {forum: v2}}\n"

    assert desk.problems(LMS + services + pipeline(ENROLLMENTS, FORUMS, NOTES, MISC, ACCOUNT)) == []
    (problem,) = desk.problems(LMS + services + pipeline(FORUMS, ENROLLMENTS, MISC, ACCOUNT))
    assert problem == (
        "retirement.yaml:8: pipeline[1].operation: RETIRING_ENROLLMENTS looks the learner up by username, "
        "which RETIRING_FORUMS destroys in LMS; let it end before RETIRING_FORUMS"
    )


def test_whatever_is_told_the_username_comes_before_the_account(desk: Desk) -> None:
    """`retire` is the last step of the LMS, also for those that go by the retirement row."""
    (problem,) = desk.problems(LMS + pipeline(ENROLLMENTS, ACCOUNT, MISC))
    assert f"RETIRING_LMS_MISC {LATE}" in problem


@pytest.mark.parametrize("forum", ["legacy", "v2-new"])
def test_a_forum_that_leaves_the_account_alone_may_come_any_time(desk: Desk, forum: str) -> None:
    """As the documented samples of old have it."""
    text = LMS + f"services: {{LMS: {{forum: {forum}}}}}\n" + pipeline(FORUMS, ENROLLMENTS, ACCOUNT)

    assert desk.warnings(text) == []


def test_an_unknown_forum_before_enrollments_is_a_warning(desk: Desk) -> None:
    """It says how to be sure."""
    assert desk.warnings(LMS + pipeline(FORUMS, ENROLLMENTS, ACCOUNT)) == [
        (
            "retirement.yaml:7: pipeline[1].operation: RETIRING_ENROLLMENTS looks the learner up by username, and some "
            "releases of LMS change it in RETIRING_FORUMS; put RETIRING_ENROLLMENTS first, or set services.LMS.forum"
        )
    ]


def test_an_unknown_forum_after_enrollments_is_no_matter(desk: Desk) -> None:
    """Only enrollments are lost without a word; the rest goes by the retirement row."""
    assert desk.warnings(LMS + pipeline(ENROLLMENTS, FORUMS, NOTES, MISC, ACCOUNT)) == []


def test_a_reference_file_is_told_to_convert(desk: Desk) -> None:
    """It has no key for the forum."""
    forum = "    - ['RETIRING_FORUMS', 'FORUMS_COMPLETE', 'LMS', 'retirement_retire_forum']\n"
    text = TUBULAR.replace("retirement_pipeline:\n", f"retirement_pipeline:\n{forum}")

    (unsaid, warning) = desk.warnings(text)

    assert unsaid == UNSAID
    assert warning.endswith(
        "put RETIRING_ENROLLMENTS first, or convert the file (`config import`) and set services.LMS.forum"
    )
