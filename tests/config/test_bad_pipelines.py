"""Pipelines that could not run, each answered with file, line, key and the nearest right thing."""

from retirement.connectors import registry

from .desk import ACCOUNT, CREDENTIALS, ENROLLMENTS, FORUMS, LMS, MISC, OWN, Desk, pipeline


def test_an_empty_pipeline(desk: Desk) -> None:
    """Whether it is an empty list or not there."""
    assert desk.problems(LMS + "pipeline: []\n") == [
        "retirement.yaml:5: pipeline: has no steps; give at least one, as deployments/examples have them"
    ]
    assert desk.problems(LMS) == [
        "retirement.yaml:1: pipeline: has no steps; give at least one, as deployments/examples have them"
    ]


def test_an_unknown_service(desk: Desk) -> None:
    """With the nearest, and all that exist."""
    text = LMS + pipeline(CREDENTIALS.replace("service: CREDENTIALS", "service: CREDENTAILS"))

    assert desk.problems(text) == [
        (
            "retirement.yaml:6: pipeline[0].service: no connector serves CREDENTAILS; did you mean CREDENTIALS?; "
            f"services are {', '.join(registry())}"
        )
    ]


def test_an_unknown_operation(desk: Desk) -> None:
    """With the nearest of that service."""
    text = LMS + pipeline(ENROLLMENTS.replace("retirement_unenroll", "retirement_unenrol"), ACCOUNT)

    assert desk.problems(text) == [
        (
            "retirement.yaml:6: pipeline[0].operation: retirement_unenrol is no operation of LMS; "
            "did you mean retirement_unenroll?"
        )
    ]


def test_an_operation_that_is_never_used(desk: Desk) -> None:
    """It would lock out the worker itself."""
    (problem,) = desk.problems(
        LMS + pipeline(ENROLLMENTS.replace("retirement_unenroll", "retirement_deactivate_logout"))
    )

    assert problem.startswith(
        "retirement.yaml:6: pipeline[0].operation: retirement_deactivate_logout is never used: it asks the LMS to "
    )
    assert problem.endswith("so remove the step")


def test_an_operation_that_goes_with_another(desk: Desk) -> None:
    """A warning where the other is there, an error where it is not."""
    mailings = "{start: MAILING, end: MAIL_COMPLETE, service: LMS, operation: retirement_retire_mailings}"
    does_nothing = "pipeline[0].operation: retirement_retire_mailings does nothing by itself any more; "

    assert [
        (
            f"retirement.yaml:6: {does_nothing}retirement_lms_retire_misc does its work and has to be in the pipeline: "
            "`retirement config import --add-misc` writes the file with it"
        )
    ] == desk.problems(LMS + pipeline(mailings, ACCOUNT))
    assert [
        f"retirement.yaml:6: {does_nothing}retirement_lms_retire_misc does its work, so the step may go"
    ] == desk.warnings(LMS + pipeline(mailings, MISC, ACCOUNT))


def test_the_same_operation_twice(desk: Desk) -> None:
    """The second could only find nothing."""
    again = "{start: AGAIN, end: AGAIN_COMPLETE, service: LMS, operation: retirement_unenroll}"

    assert desk.problems(LMS + pipeline(ENROLLMENTS, again)) == [
        (
            "retirement.yaml:7: pipeline[1].operation: LMS retirement_unenroll is in the pipeline already, on line 6; "
            "remove one"
        )
    ]


def test_a_state_that_the_lms_cannot_store(desk: Desk) -> None:
    """Thirty characters are all it has."""
    long = "RETIRING_" + "X" * 22

    assert [f"retirement.yaml:6: pipeline[0].start: {long} has 31 characters; the LMS stores 30"] == desk.problems(
        LMS + pipeline(ENROLLMENTS.replace("RETIRING_ENROLLMENTS", long))
    )


def test_a_state_that_is_no_name(desk: Desk) -> None:
    """In a step as in the list of the site."""
    text = LMS + "  states: [PENDING, 'A B']\n" + pipeline(ENROLLMENTS.replace("RETIRING_", "RETIRING "))

    assert [problem for problem in desk.problems(text) if "no name" in problem] == [
        "retirement.yaml:5: lms.states[1]: is no name of a state; use letters, digits and `_`",
        "retirement.yaml:7: pipeline[0].start: is no name of a state; use letters, digits and `_`",
    ]


def test_a_state_used_twice(desk: Desk) -> None:
    """As start or end of any two steps."""
    assert desk.problems(LMS + pipeline(ENROLLMENTS, ACCOUNT.replace("LMS_COMPLETE", "ENROLLMENTS_COMPLETE"))) == [
        "retirement.yaml:7: pipeline[1].end: ENROLLMENTS_COMPLETE is used twice (also by step 1)"
    ]


def test_a_state_of_the_lms_itself(desk: Desk) -> None:
    """PENDING and COMPLETE are set by nobody's step."""
    assert desk.problems(LMS + pipeline(ACCOUNT.replace("LMS_COMPLETE", "COMPLETE"))) == [
        "retirement.yaml:6: pipeline[0].end: COMPLETE is the LMS' own state and cannot belong to a step"
    ]


def test_a_start_state_that_reads_as_an_end(desk: Desk) -> None:
    """The LMS goes by the ending of the name, and would refuse each call."""
    swapped = "{start: LMS_COMPLETE, end: RETIRING_LMS, service: LMS, operation: retirement_lms_retire}"

    assert desk.problems(LMS + pipeline(swapped)) == [
        (
            "retirement.yaml:6: pipeline[0].start: LMS_COMPLETE ends with _COMPLETE, and the LMS refuses to erase "
            "anything of a learner in such a state; name it RETIRING_…"
        )
    ]


def test_a_state_that_the_site_lacks(desk: Desk) -> None:
    """At the step that needs it, with what comes nearest."""
    states = "[PENDING, RETIRING_ENROLLMENT, ENROLLMENTS_COMPLETE, ERRORED, ABORTED, COMPLETE]"
    text = LMS + f"  states: {states}\n" + pipeline(ENROLLMENTS)

    assert desk.problems(text) == [
        (
            "retirement.yaml:7: pipeline[0].start: RETIRING_ENROLLMENTS is not in lms.states; "
            "did you mean RETIRING_ENROLLMENT?; add it there, at the same place"
        )
    ]


def test_states_in_another_order(desk: Desk) -> None:
    """The LMS moves forward only."""
    states = (
        "PENDING, RETIRING_LMS, LMS_COMPLETE, RETIRING_ENROLLMENTS, ENROLLMENTS_COMPLETE, ERRORED, ABORTED, COMPLETE"
    )
    text = LMS + f"  states: [{states}]\n" + pipeline(ENROLLMENTS, ACCOUNT)

    assert desk.problems(text) == [
        (
            "retirement.yaml:8: pipeline[1].start: RETIRING_LMS stands before ENROLLMENTS_COMPLETE in lms.states; "
            "the LMS moves forward only, so use one order"
        ),
        (
            "retirement.yaml:8: pipeline[1].end: LMS_COMPLETE stands before ENROLLMENTS_COMPLETE in lms.states; "
            "the LMS moves forward only, so use one order"
        ),
    ]


def test_a_list_of_states_that_the_lms_would_refuse(desk: Desk) -> None:
    """Its ends are fixed, names are short and there once."""
    states = f"[RETIRING_LMS, LMS_COMPLETE, LMS_COMPLETE, {'S' * 31}, COMPLETE]"
    text = LMS + f"  states: {states}\n" + pipeline(ACCOUNT)

    assert desk.problems(text) == [
        "retirement.yaml:5: lms.states[3]: has 31 characters; the LMS stores 30",
        "retirement.yaml:5: lms.states: LMS_COMPLETE is there twice; remove one",
        (
            "retirement.yaml:5: lms.states: must begin with PENDING and end with ERRORED, ABORTED, COMPLETE, "
            "or the LMS refuses it"
        ),
    ]


def test_an_unknown_step_in_after(desk: Desk) -> None:
    """With the nearest, at its own place in the list."""
    text = LMS + pipeline(ENROLLMENTS, ACCOUNT.replace("}", ", after: [RETIRING_ENROLLMENTS, RETIRING_ENROLMENTS]}"))

    assert desk.problems(text) == [
        (
            "retirement.yaml:7: pipeline[1].after[1]: RETIRING_ENROLMENTS is no step of this pipeline; "
            "did you mean RETIRING_ENROLLMENTS?"
        )
    ]


def test_a_later_step_in_after(desk: Desk) -> None:
    """The LMS takes states in the order in which they are written."""
    text = LMS + pipeline(ENROLLMENTS.replace("}", ", after: [RETIRING_LMS_MISC]}"), MISC.replace("}", ", after: []}"))

    assert desk.problems(text) == [
        (
            "retirement.yaml:6: pipeline[0].after: `after` names RETIRING_LMS_MISC, which is written later: "
            "write RETIRING_LMS_MISC above RETIRING_ENROLLMENTS, since the LMS takes states in written order"
        )
    ]


def test_steps_that_wait_for_each_other(desk: Desk) -> None:
    """A circle is shown as one."""
    (problem,) = desk.problems(LMS + pipeline(ENROLLMENTS.replace("}", ", after: [RETIRING_LMS_MISC]}"), MISC))

    assert "the steps wait for each other in a circle: " in problem


def test_after_must_be_a_list(desk: Desk) -> None:
    """A single name too."""
    text = LMS + pipeline(ENROLLMENTS, ACCOUNT.replace("}", ", after: RETIRING_ENROLLMENTS}"))

    assert desk.problems(text) == ["retirement.yaml:7: pipeline[1].after: must be a list, such as [A, B]"]


def test_a_step_that_cannot_be_read_is_not_missed_by_others(desk: Desk) -> None:
    """One mistake gives one problem."""
    broken = ENROLLMENTS.replace("service: LMS", "service: [LMS]")
    last = ACCOUNT.replace("}", ", after: [RETIRING_FORUMS, RETIRING_ENROLLMENTS]}")

    assert desk.problems(LMS + pipeline(broken, FORUMS, last)) == [
        "retirement.yaml:6: pipeline[0].service: must be text"
    ]


def test_an_unknown_service_does_not_hide_a_wrong_order(desk: Desk) -> None:
    """All problems of shape are told together with those of names."""
    text = OWN.replace("service: LMS, operation: retirement_unenroll", "service: LSM, operation: x").replace(
        "LMS_MISC_COMPLETE", "COMPLETE"
    )

    assert [int(problem.split(":")[1]) for problem in desk.problems(text)] == [6, 7]
