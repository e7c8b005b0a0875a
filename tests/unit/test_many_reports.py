"""What a run of very many learners says: counted once, the urgent ones first, and no text of the whole."""

import io
import json
from dataclasses import replace

import pytest

from retirement import reports
from retirement.cli.output import MOST_ROWS, PARTS, show_json, table
from retirement.cli.shown_reports import reports_table
from retirement.errors import Ending
from retirement.pipeline.endings import TAKEN, Report, StepReport

RETIRED = Report(0, Ending.RETIRED, "", (StepReport("FORUM", "erased", 0.5),), 1.0)


def crowd(learners: int) -> list[Report]:
    """So many who are retired, and last of all one who is not."""
    many = [replace(RETIRED, user_id=user_id) for user_id in range(1, learners)]
    return [*many, replace(RETIRED, user_id=learners, ending=Ending.ERRORED, reason="the service refused")]


def test_a_tally_says_the_same_as_the_summary_of_all_so_far() -> None:
    """It is asked every few moments, and counts no report twice."""
    tally, so_far = reports.Tally(), list[Report]()
    for report in [*crowd(3), replace(RETIRED, user_id=4, steps=(StepReport("MAIL", TAKEN, 0.0),))]:
        so_far.append(report)

        assert tally.summary(so_far) == reports.summary(so_far)

    assert tally.summary(so_far).startswith("3 retired, 1 errored; taken as done")


def test_tables_of_many_have_the_urgent_ones_first() -> None:
    """In Prefect as on the terminal; a short one is as it was."""
    many = crowd(MOST_ROWS + 5)

    assert [each["learner"] for each in reports.table(many, {}, 2)] == [MOST_ROWS + 5, 1]
    shown = reports_table(many)
    assert (shown.row_count, shown.caption) == (MOST_ROWS, "and 5 more learners; --json has all")
    assert next(iter(shown.columns[0].cells)) == str(MOST_ROWS + 5)
    assert reports_table(crowd(3)).caption is None


def test_a_table_of_anything_ends_and_says_how_much_is_left_out() -> None:
    """A cleanup may leave the rows of a hundred thousand learners where they are."""
    long, short = (table(("learner",), ([number] for number in range(rows))) for rows in (MOST_ROWS + 3, MOST_ROWS))

    assert (long.row_count, long.caption) == (MOST_ROWS, "and 3 more rows; --json has all")
    assert (short.row_count, short.caption) == (MOST_ROWS, None)


def test_a_document_of_many_is_written_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports become rows one by one, and what is read is the one document."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stdout", written)
    many = crowd(PARTS // 10)

    show_json({"learners": many, "errors": ["\x1b[31m"]})

    expected = [reports.document(each) for each in many]
    assert json.loads(written.getvalue()) == {"learners": expected, "errors": ["\x1b[31m"]}
    assert "\x1b" not in written.getvalue()


def test_what_no_document_knows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not written as its `repr`, which may name a learner."""
    monkeypatch.setattr("sys.stdout", io.StringIO())

    with pytest.raises(TypeError, match="a set stands in no document"):
        show_json({"learners": {1, 2}})
