"""The cases of the reference's replacement of usernames."""

from __future__ import annotations

from tests.reference.rows import NAMES, Row, held

RENAMING = (
    Row(
        NAMES,
        "pairs of current and desired name",
        "LMS first; its final names go to every service",
        "the same; results in the reference's columns, for the owner only",
        held("replace_usernames", "test_every_service_gets_the_final_name_of_the_lms"),
    ),
    Row(
        NAMES,
        "the LMS lists a pair as failed",
        "FAILED, and no service is asked",
        "the same",
        held("replace_usernames", "test_a_failure_within_a_success_is_one"),
    ),
    Row(
        NAMES,
        "a service fails",
        "PARTIALLY FAILED, and the services after it are not asked",
        "PARTIALLY FAILED, the others are asked, and a second run does what is lacking",
        held("replace_usernames", "test_what_one_service_refuses_the_others_do_and_a_second_run_makes_up_for_it"),
    ),
    Row(
        NAMES,
        "the forum",
        "a path that no LMS has: fails at each account",
        "its own path; an LMS without a forum is fine",
        held("replace_usernames", "test_a_forum_that_is_not_there_is_nothing_to_rename"),
    ),
    Row(
        NAMES,
        "the process dies in the middle",
        "who has which name is for a person to find out",
        "goes on with the LMS' final name",
        held(
            "replace_usernames",
            "test_a_run_that_dies_after_the_lms_goes_on_with_its_final_name",
            "test_a_lost_answer_of_the_lms_is_looked_for_at_the_account",
        ),
    ),
    Row(
        NAMES,
        "circles, doubles, a mark of byte order",
        "whatever comes of it",
        "refused with the lines; the mark is read",
        held(
            "replace_usernames",
            "test_a_file_that_could_rename_the_wrong_account_is_refused",
            "test_a_file_with_a_mark_of_byte_order_and_windows_ends_of_lines_is_read",
        ),
    ),
)
