"""The jobs of the reference scripts, case by case, as their own tests have them, and the tests of ours that hold it.

The reference is `scripts/user_retirement` of the platform (contract of the LMS, section 6), and before that tubular.
A case names no code of it, only the behaviour that its tests ask for.
"""

from __future__ import annotations

from dataclasses import dataclass

UNIT = "tests/unit/test_"


@dataclass(frozen=True, slots=True)
class Row:
    """One case: what comes in, what the reference is to do, what ours does, and the tests that show it."""

    job: str
    case: str
    reference: str
    ours: str
    tests: tuple[str, ...]


def held(file: str, *names: str) -> tuple[str, ...]:
    """Tests of one file, as pytest names them."""
    path = file if "/" in file else f"{UNIT}{file}.py"
    return tuple(f"{path}::{name}" for name in names)


_NO_FILE = held("tests/config/test_bad_files.py", "test_a_missing_file")
_BAD_FILE = held("tests/config/test_bad_files.py", "test_a_yaml_error_has_its_line", "test_a_file_without_keys")
_NO_TOKEN = held("token", "test_an_endpoint_that_gives_no_jwt_is_misconfigured")
_CONFIG = "one line with the file, exit code 2"

ONE, LIST, BULK = "retire_one_learner", "get_learners_to_retire", "retirement_bulk_status_update"
CLEANUP, REPORT, NAMES = "retirement_archive_and_cleanup", "retirement_partner_report", "replace_usernames"

ROWS = (
    Row(
        ONE,
        "a learner in PENDING",
        "every step once, in order, a move before and after each, COMPLETE",
        "the same requests in the same order",
        held("engine", "test_a_line_sends_exactly_what_the_reference_driver_sends"),
    ),
    Row(
        ONE,
        "the look-up of the learner breaks",
        "setup failed, no move",
        "no move; the next run takes the learner",
        held("endings", "test_an_lms_that_does_not_answer_leaves_the_row"),
    ),
    Row(ONE, "a configuration that is not there", "bad configuration, with the path", _CONFIG, _NO_FILE),
    Row(
        ONE,
        "no retirement of that name",
        "bad learner, no move",
        "the request was taken back: no call",
        held("engine", "test_a_learner_without_a_request_took_it_back"),
    ),
    Row(
        ONE,
        "a learner in a working state",
        "refused, no move; stays there until a person looks",
        "no move while a run may have the learner; then the reconciler brings the learner back",
        (
            *held("engine", "test_a_learner_who_does_not_wait_is_left_alone"),
            *held("reconciler", "test_a_learner_of_a_dead_run_goes_back_to_what_is_proved"),
        ),
    ),
    Row(
        ONE,
        "a learner in a state that no step has",
        "refused with the name of the state",
        "named by each run, and adopted on request",
        held(
            "watch",
            "test_a_run_that_leaves_learners_behind_names_them",
            "test_a_row_of_a_former_driver_is_adopted_to_what_is_proved",
        ),
    ),
    Row(
        ONE,
        "a learner in COMPLETE, ERRORED or ABORTED",
        "refused with the name of the state, no move",
        "COMPLETE counts as done, the others are left alone; no call",
        held(
            "engine",
            "test_a_learner_who_is_complete_already_is_retired",
            "test_a_learner_whose_retirement_was_aborted_is_not_called_about",
            "test_a_learner_who_does_not_wait_is_left_alone",
        ),
    ),
    Row(
        ONE,
        "a learner half way",
        "steps behind the row are skipped",
        "the same, from each end state",
        held("engine", "test_a_line_is_resumed_after_every_end_state"),
    ),
    Row(
        ONE,
        "ecommerce has a tracking id",
        "it is a second identity for Segment",
        "the same",
        held("tests/vendors/test_segment.py", "test_identities_are_the_id_the_username_and_the_tracking_id"),
    ),
    Row(
        ONE,
        "ecommerce has no such user",
        "the tracking id is None (and is sent as a text)",
        "no tracking id is sent",
        held("tests/vendors/test_segment.py", "test_whom_ecommerce_does_not_know_has_no_tracking_id"),
    ),
    Row(
        ONE,
        "ecommerce breaks",
        "setup failed, no move",
        "the step stops before Segment is asked",
        held("tests/vendors/test_segment.py", "test_a_look_up_that_proves_nothing_stops_before_segment"),
    ),
    Row(
        LIST,
        "learners past their cool-off",
        "a file of each",
        "a flow of each, least time left first; no file holds a name",
        (
            *held("lms", "test_the_queue_lists_those_who_wait_and_are_old_enough"),
            *held("intake", "test_the_most_urgent_come_first"),
        ),
    ),
    Row(
        LIST,
        "an LMS that is down",
        "exit code 1, no file",
        "one line, nothing begun",
        held("intake", "test_a_queue_that_cannot_be_listed_is_said"),
    ),
    Row(
        LIST,
        "a worker without the permission",
        "exit code 1, no file",
        "misconfigured, with what is missing",
        held("lms", "test_a_worker_without_permission_is_misconfigured"),
    ),
    Row(
        LIST,
        "more learners than the threshold",
        "too many learners, no file",
        "the run asks a person; counted before any limit, so that the limit cannot hide them",
        (
            *held("guard", "test_depth_trips_exactly_above_the_threshold"),
            *held("intake", "test_unusual_queues_trip_the_guard"),
        ),
    ),
    Row(
        LIST,
        "a batch size",
        "no more files than that",
        "no more learners than that",
        held("lms", "test_the_queue_can_be_limited"),
    ),
    Row(
        BULK,
        "COMPLETE to PENDING, by dates",
        "each row is forced there",
        "the same; the steps beyond are done again, and the ledger has who and why",
        held(
            "bulk_update",
            "test_rows_move_to_the_state_that_was_given_and_steps_beyond_it_are_done_again",
            "test_both_days_are_included_and_those_around_them_are_not",
        ),
    ),
    Row(BULK, "no configuration", "refused", _CONFIG, _NO_FILE),
    Row(BULK, "a configuration that cannot be read", "refused with the path", _CONFIG, _BAD_FILE),
    Row(
        BULK,
        "--rewind-state",
        "each row is forced to last_state: of an ERRORED learner a state that no queue lists",
        "each row goes to the last end state that is proved, and the learner is retired then",
        held("bulk_update", "test_a_rewind_goes_to_the_last_good_state_and_the_learner_is_retired_then"),
    ),
    Row(
        BULK,
        "--rewind-state and --new-state",
        "refused",
        "refused, as neither is; exit code 2",
        held("tests/reference/test_options.py", "test_a_bulk_update_takes_one_way_to_say_where_to"),
    ),
    Row(BULK, "no token", "setup failed", "misconfigured, nothing moved", _NO_TOKEN),
    Row(
        BULK,
        "the list cannot be had",
        "error while fetching, nothing moved",
        "one line, nothing moved or entered",
        held("bulk_update", "test_a_list_that_cannot_be_had_ends_it_before_anything_is_entered"),
    ),
    Row(
        BULK,
        "a move breaks",
        "error while updating: the rest is not moved",
        "the others are moved, and a second run moves what is left",
        held("bulk_update", "test_one_that_fails_stops_no_other_and_a_second_run_goes_on"),
    ),
    Row(
        CLEANUP,
        "learners in COMPLETE",
        "archived, then deleted",
        "deleted once the certificate is complete; the ledger is the archive, without names, or the reference's file",
        (
            *held("cleanup", "test_who_is_proved_to_be_gone_is_forgotten"),
            *held("archive", "test_rows_are_in_the_archive_before_the_lms_deletes_them"),
        ),
    ),
    Row(
        CLEANUP,
        "a batch size",
        "so many at a time, a file for each batch",
        "so many at a time, each archived once, whatever a row is like",
        (
            *held("cleanup", "test_many_are_named_some_at_a_time"),
            *held("archive", "test_of_many_rows_with_an_odd_one_each_other_is_archived_once"),
        ),
    ),
    Row(
        CLEANUP,
        "a dry run",
        "nothing is deleted (and the file is written)",
        "nothing is deleted or written",
        (*held("cleanup", "test_looking_changes_nothing"), *held("archive", "test_looking_writes_no_archive")),
    ),
    Row(CLEANUP, "no configuration", "refused", _CONFIG, _NO_FILE),
    Row(CLEANUP, "a configuration that cannot be read", "refused with the path", _CONFIG, _BAD_FILE),
    Row(CLEANUP, "no token", "setup failed", "misconfigured, nothing deleted", _NO_TOKEN),
    Row(
        CLEANUP,
        "the list cannot be had",
        "error while fetching",
        "spans are halved; an LMS that is down ends the run",
        held(
            "cleanup_answers",
            "test_a_span_that_the_lms_cannot_list_is_halved",
            "test_an_lms_that_is_down_ends_the_run",
        ),
    ),
    Row(
        CLEANUP,
        "the LMS refuses the deletion",
        "error while deleting: the whole batch stays, archived twice by the next run",
        "one who is refused keeps no other; nothing is deleted, entered or archived twice",
        (
            *held(
                "cleanup",
                "test_one_who_is_refused_keeps_nobody_else",
                "test_a_lost_answer_is_settled_by_listing",
                "test_a_run_that_died_anywhere_is_finished_by_the_next",
            ),
            *held(
                "archive",
                "test_a_lost_answer_of_the_lms_archives_no_row_twice",
                "test_a_run_that_died_anywhere_archives_each_row_once",
            ),
        ),
    ),
    Row(
        CLEANUP,
        "the archive cannot be written",
        "error while archiving, nothing deleted",
        "nothing is deleted, of a bucket as of a ledger that is not whole",
        (
            *held("cleanup", "test_nobody_is_forgotten_on_the_word_of_a_ledger_that_was_changed"),
            *held(
                "archive",
                "test_an_archive_that_cannot_be_written_keeps_every_row",
                "test_a_bucket_that_is_not_there_ends_the_run_before_anything",
            ),
        ),
    ),
    Row(
        CLEANUP,
        "what was uploaded is read back",
        "the content is what was written; a dry run uploads nothing",
        "read back before a row is deleted, with the encryption of the answer",
        held(
            "archive",
            "test_rows_are_in_the_archive_before_the_lms_deletes_them",
            "test_a_bucket_that_accepts_and_forgets_keeps_every_row",
        ),
    ),
    Row(
        CLEANUP,
        "dates the wrong way round",
        "refused",
        "takes days and no dates, each day once; where a job takes dates, refused in one line",
        (
            *held("cleanup", "test_windows_cover_every_day_once"),
            *held("bulk_update", "test_what_cannot_be_meant_is_one_line"),
        ),
    ),
    Row(
        CLEANUP,
        "an end within the cool-off",
        "refused",
        "nothing is deleted before its days are over",
        (
            *held("cleanup", "test_nobody_is_forgotten_before_their_time"),
            *held("cleanup_clock", "test_the_earlier_of_two_clocks_counts"),
        ),
    ),
    Row(
        REPORT,
        "learners of several organisations",
        "each in the file of each organisation",
        "the same, each exactly once",
        held(
            "partners",
            "test_every_organisation_gets_one_file_with_its_learners",
            "test_a_second_run_tells_nobody_twice",
        ),
    ),
    Row(
        REPORT,
        "the columns",
        "user id, username, e-mail, name, deletion completed",
        "the same, organisation last",
        held("partner_files", "test_a_file_has_the_columns_of_the_archived_script"),
    ),
    Row(
        REPORT,
        "organisations with headings of their own",
        "their columns; one without a value is empty",
        "their columns, of an older LMS or of the configuration; one that is none is a line, and keeps no other",
        held(
            "partner_files",
            "test_older_releases_name_organisations_otherwise",
            "test_an_organisation_gets_the_columns_that_it_wants",
            "test_headings_that_are_no_columns_keep_their_learners_only",
        ),
    ),
    Row(REPORT, "no configuration", "refused", _CONFIG, _NO_FILE),
    Row(
        REPORT,
        "no folder for the output",
        "refused",
        "refused before anything is claimed",
        held("partners", "test_without_a_folder_nothing_is_claimed"),
    ),
    Row(
        REPORT,
        "the claim fails",
        "error while fetching; after a lost answer the learners are never reported",
        "a lost answer loses no learner",
        held(
            "partners",
            "test_a_lost_reply_loses_nobody",
            "test_two_lost_replies_end_the_run_and_the_next_one_finds_everybody",
        ),
    ),
    Row(
        REPORT,
        "the cleanup of the queue fails",
        "error: the rows stay, and the report was sent",
        "repeated by the next run, without a second report",
        held(
            "partners",
            "test_a_deletion_whose_reply_is_lost_is_repeated",
            "test_files_that_are_written_are_not_written_again",
        ),
    ),
    Row(
        REPORT,
        "the process dies",
        "rows stay flagged until an admin resets them",
        "the next run finishes it",
        held("partner_crashes", "test_a_report_that_died_anywhere_is_finished_by_the_next"),
    ),
)
