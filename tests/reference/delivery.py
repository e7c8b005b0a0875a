"""The cases of the reference's partner report that come after its files: mapping, delivery, expiry."""

from __future__ import annotations

from tests.reference.renaming import RENAMING
from tests.reference.rows import REPORT, ROWS, Row


def _held(*names: str) -> tuple[str, ...]:
    """Tests of the unit folder, as `file::name`."""
    return tuple(f"tests/unit/test_{file}.py::{name}" for file, _, name in (each.partition("::") for each in names))


DELIVERY = (
    Row(
        REPORT,
        "an organisation without a partner",
        "error after the claim: the rows stay flagged until an admin resets them",
        "its learners wait, with their rows; all others are delivered",
        _held(
            "buckets::test_an_organisation_without_a_partner_stops_no_other",
            "buckets::test_a_partner_that_comes_later_gets_the_learners_once",
        ),
    ),
    Row(
        REPORT,
        "a partner without a folder in Drive, or with two",
        "error before the upload; of two folders the last one is taken",
        "a line; its learners wait, all others are delivered",
        _held("drive::test_a_partner_without_a_folder_or_with_two_stops_no_other"),
    ),
    Row(
        REPORT,
        "the upload to Drive fails",
        "error: the next run uploads everything again, to all partners",
        "the next run delivers what is missing; a lost answer makes no second file",
        _held(
            "drive::test_an_answer_that_is_lost_after_the_upload_makes_no_second_file",
            "drive::test_what_drive_refuses_or_forgets_keeps_the_rows",
            "partner_crashes::test_a_report_that_died_at_any_request_of_a_sink_is_finished_by_the_next",
        ),
    ),
    Row(
        REPORT,
        "a comment that tags the partner's people",
        "without denied domains; permissions without an address end the script after the upload",
        "the same people, once; a comment that fails loses no delivery",
        _held(
            "drive::test_each_partner_has_a_file_and_its_people_are_told_once",
            "drive::test_a_comment_that_fails_loses_no_delivery",
        ),
    ),
    Row(
        REPORT,
        "old files are deleted",
        "those of a name and an age, one that is gone ends the run",
        "those with a receipt, after the partner was told; one that is gone is said",
        _held(
            "expiry::test_a_file_is_deleted_after_its_partner_was_told",
            "expiry::test_what_is_not_what_was_delivered_stays",
            "drive::test_files_are_deleted_after_a_comment_that_says_when",
        ),
    ),
)
#: Every row of the table.
EVERY = (*ROWS, *DELIVERY, *RENAMING)
