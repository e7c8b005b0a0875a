"""Keys and values of our own dialect that are wrong: file, line, key, and what would be right."""

import pytest

from .desk import ACCOUNT, ENROLLMENTS, LMS, OWN, SECRET, Desk, line_of, pipeline

END = OWN.count("\n") + 1
GUARD_KEYS = (
    "guard.depth: is no key here; "
    "there is answer_hours, domain_floor, domain_share, factor, floor, second_person_above, second_person_for_holds, "
    "staff_domains, staff_ids, wait_hours"
)


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("cool_of_days: 3\n", "cool_of_days: is no key here; did you mean cool_off_days?"),
        ("queue: {limt: 3}\n", "queue.limt: is no key here; did you mean limit?"),
        ("retry: {task_retrys: 3}\n", "retry.task_retrys: is no key here; did you mean task_retries?"),
        (
            "retry: {zzz: 3}\n",
            "retry.zzz: is no key here; there is attempts, seconds, task_delay_seconds, task_retries",
        ),
        ("services: {LMS: {forums: v2}}\n", "services.LMS.forums: is no key here; did you mean forum?"),
        (
            "services: {CREDENTAILS: {url: x}}\n",
            "services.CREDENTAILS: is no service that a connector serves; did you mean CREDENTIALS?",
        ),
        ("services: {LMS: {url: x}}\n", "services.LMS.url: is given once for all, as lms.url; remove it here"),
    ],
)
def test_an_unknown_key_names_the_nearest(desk: Desk, addition: str, expected: str) -> None:
    """At every level of the file."""
    assert [f"retirement.yaml:{END}: {expected}"] == desk.problems(OWN + addition)


def test_an_unknown_key_of_a_step(desk: Desk) -> None:
    """Also within a row of the pipeline."""
    text = LMS + pipeline(ENROLLMENTS.replace("operation:", "operaton:"))

    assert sorted(desk.problems(text)) == [
        "retirement.yaml:6: pipeline[0].operation: is missing; give it: What it does there.",
        "retirement.yaml:6: pipeline[0].operaton: is no key here; did you mean operation?",
    ]


def test_an_unknown_key_below_lms(desk: Desk) -> None:
    """And beside the credentials."""
    text = OWN.replace("  client_id:", "  clientid:")

    assert desk.problems(text) == [
        (
            "retirement.yaml:1: lms.client_id: is missing; "
            "give it: OAuth client of the retirement worker, as `create_dot_application` prints it."
        ),
        "retirement.yaml:3: lms.clientid: is no key here; did you mean client_id?",
    ]


def test_a_key_without_space_does_not_show_its_value(desk: Desk) -> None:
    """`client_secret:abc` is one word to YAML."""
    problems = desk.problems(f"lms: {{url: 'https://x.example.com', client_secret:{SECRET}}}\npipeline: []\n")

    assert "retirement.yaml:1: lms.client_secret…: is no key here; did you mean client_secret?" in problems
    assert not [problem for problem in problems if SECRET in problem]


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("cool_off_days: soon\n", "cool_off_days: must be a whole number"),
        ("cool_off_days: 1.5\n", "cool_off_days: must be a whole number"),
        ("cool_off_days: true\n", "cool_off_days: must be a number, not true or false"),
        ("cool_off_days:\n", "cool_off_days: has no value; give one or remove the key"),
        ("deadline_days: [30]\n", "deadline_days: must be a whole number"),
        ("queue: 3\n", "queue: must be a mapping of keys and values"),
        ("queue: {limit: !!int many}\n", "queue.limit: must be a whole number"),
        ("queue: {limit: !!int ''}\n", "queue.limit: must be a whole number"),
        ("queue: {limit: !odd 3}\n", "queue.limit: has a YAML tag that means nothing here; remove it"),
        ("retry: {seconds: long}\n", "retry.seconds: must be a number"),
        ("retry: {seconds: .nan}\n", "retry.seconds: must be a number"),
        ("services: [LMS]\n", "services: must be a mapping of services, such as `CREDENTIALS: {url: …}`"),
        ("services: {LMS: x}\n", "services.LMS: must be a mapping of keys and values"),
        (
            "services: {LMS: {forum: v2new}}\n",
            "services.LMS.forum: must be one of 'auto', 'legacy', 'v2' or 'v2-new'; did you mean v2-new?",
        ),
        ("services: {LMS: {unenroll_version: 3}}\n", "services.LMS.unenroll_version: must be at most 2"),
        ("deadline_days_by_country: 45\n", "deadline_days_by_country: must be a mapping of keys and values"),
        ("deadline_days_by_country: {US: soon}\n", "deadline_days_by_country.US: must be a whole number"),
        ("lease_seconds: short\n", "lease_seconds: must be a whole number"),
        ("guard: {staff_ids: 3}\n", "guard.staff_ids: must be a list, such as [A, B]"),
        ("guard: {staff_ids: [ana]}\n", "guard.staff_ids[0]: must be a whole number"),
        ("guard: {staff_ids: [true]}\n", "guard.staff_ids[0]: must be a number, not true or false"),
        (
            "guard: {staff_domains: [ana@example.com]}\n",
            "guard.staff_domains[0]: is no domain; write what stands after the @, such as example.com",
        ),
        ("guard: {depth: 3}\n", GUARD_KEYS),
        ("ledger: {anchor: ''}\n", "ledger.anchor: is empty; give a value"),
        ('ledger: {key: "a\\0b"}\n', "ledger.key: holds characters that no path has"),
        ("reconcile_schedule: hourly\n", "reconcile_schedule: must be a cron line of five fields, such as `0 4 * * *`"),
        ("schedule: nightly\n", "schedule: must be a cron line of five fields, such as `0 4 * * *`"),
        ("schedule: 60 4 * * *\n", "schedule: its field for the minute is no cron field from 0 to 59"),
        ("schedule: 0 4 * foo *\n", "schedule: its field for the month is no cron field from 1 to 12"),
        ("schedule: 0 4 ?? * *\n", "schedule: its field for the day is no cron field from 1 to 31"),
    ],
)
def test_a_wrong_type_says_what_is_due(desk: Desk, addition: str, expected: str) -> None:
    """In words, not in those of a library."""
    assert [f"retirement.yaml:{END}: {expected}"] == desk.problems(OWN + addition)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("us", "; did you mean US?"),
        ("UK", ""),
        ("USA", ""),
        ("''", ""),
    ],
)
def test_a_country_is_a_code_of_iso_3166(desk: Desk, code: str, expected: str) -> None:
    """In capitals, as the LMS stores it."""
    key = "…" if code == "''" else code
    problem = f"is no country code of ISO 3166 in two capitals, such as DE{expected}"

    assert desk.problems(OWN + f"deadline_days_by_country: {{{code}: 45}}\n") == [
        f"retirement.yaml:{END}: deadline_days_by_country.{key}: {problem}"
    ]


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("deadline_days_by_country: {US: 0}\n", "deadline_days_by_country.US: must be at least 1"),
        ("deadline_days_by_country: {US: 366}\n", "deadline_days_by_country.US: must be at most 365"),
        ("lease_seconds: 14\n", "lease_seconds: must be at least 15"),
        ("lease_seconds: 3601\n", "lease_seconds: must be at most 3600"),
        ("guard: {factor: 0.5}\n", "guard.factor: must be at least 1"),
        ("guard: {domain_share: 2}\n", "guard.domain_share: must be at most 1"),
        ("guard: {staff_ids: [0]}\n", "guard.staff_ids[0]: must be at least 1"),
        ("guard: {wait_hours: -1}\n", "guard.wait_hours: must be at least 0"),
        ("breaker: {learners: 0}\n", "breaker.learners: must be at least 1"),
        (
            "breaker: {longest_seconds: 200}\n",
            "breaker.longest_seconds: must be at least breaker.seconds, which is 300",
        ),
        (
            "breaker: {seconds: 4000}\n",
            "breaker.seconds: must be at most breaker.longest_seconds, which is 3600",
        ),
        ("cool_off_days: -1\n", "cool_off_days: must be at least 0"),
        ("cool_off_days: 366\n", "cool_off_days: must be at most 365"),
        ("deadline_days: 0\n", "deadline_days: must be at least 1"),
        ("queue: {limit: 0}\n", "queue.limit: must be at least 1"),
        ("queue: {threshold: 0}\n", "queue.threshold: must be at least 1"),
        ("queue: {at_once: 0}\n", "queue.at_once: must be at least 1"),
        ("queue: {at_once: 1001}\n", "queue.at_once: must be at most 1000"),
        ("queue: {at_once: many}\n", "queue.at_once: must be a whole number or auto"),
        ("queue: {at_once_most: 0}\n", "queue.at_once_most: must be at least 1"),
        ("retry: {attempts: 0}\n", "retry.attempts: must be at least 1"),
        ("retry: {seconds: -0.5}\n", "retry.seconds: must be at least 0"),
        ("retry: {task_retries: -1}\n", "retry.task_retries: must be at least 0"),
        ("retry: {task_delay_seconds: -1}\n", "retry.task_delay_seconds: must be at least 0"),
    ],
)
def test_a_number_out_of_range_says_the_limit(desk: Desk, addition: str, expected: str) -> None:
    """Every number has one."""
    assert [f"retirement.yaml:{END}: {expected}"] == desk.problems(OWN + addition)


def test_lms_settings_of_wrong_types(desk: Desk) -> None:
    """None of the values is repeated, since one of them is the secret."""
    text = (
        f"lms:\n  url: [{SECRET}]\n  client_id: {{{SECRET}: 1}}\n  client_secret: [{SECRET}]\n  states: {SECRET}\n"
        + pipeline(ENROLLMENTS)
    )

    assert desk.problems(text) == [
        "retirement.yaml:2: lms.url: must be text",
        "retirement.yaml:3: lms.client_id: must be text",
        "retirement.yaml:4: lms.client_secret: must be text",
        "retirement.yaml:5: lms.states: must be a list, such as [A, B]",
    ]


def test_everything_that_is_missing_is_told_at_once(desk: Desk) -> None:
    """URL, client and secret of the LMS; a pipeline."""
    keys = [problem.split(": ")[:2] for problem in desk.problems("lms:\n")]

    assert [["retirement.yaml:1", key] for key in ("lms.url", "lms.client_id", "lms.client_secret", "pipeline")] == keys


def test_problems_come_in_the_order_of_the_lines(desk: Desk) -> None:
    """And all of them, not only the first."""
    text = OWN.replace("https://courses.example.com", "courses").replace("retirement_unenroll", "retirement_unenrol")

    lines = [int(problem.split(":")[1]) for problem in desk.problems(text + "cool_off_days: -1\nfoo: 1\n")]

    assert [2, line_of(text, "retirement_unenrol"), END, END + 1] == lines


def test_a_cool_off_beyond_the_deadline_is_a_warning(desk: Desk) -> None:
    """It is the site's law to break, but not without a word."""
    text = OWN + "cool_off_days: 31\n"

    assert [
        f"retirement.yaml:{END}: cool_off_days: no retirement can start within the deadline of 30 days; shorten it"
    ] == desk.warnings(text)
    assert desk.warnings(text.replace("31", "30")) == []


def test_a_cool_off_beyond_the_deadline_of_a_country_is_a_warning_too(desk: Desk) -> None:
    """Where only the country is given, the warning stands at it."""
    warned = desk.warnings(OWN + "cool_off_days: 21\ndeadline_days_by_country: {US: 45, NO: 20}\n")
    by_default = desk.warnings(OWN + "deadline_days_by_country: {NO: 6}\n")

    text = "no retirement of NO can start within the deadline of {} days; shorten it"
    assert [f"retirement.yaml:{END}: cool_off_days: {text.format(20)}"] == warned
    assert [f"retirement.yaml:{END}: deadline_days_by_country.NO: {text.format(6)}"] == by_default


def test_text_with_space_around_it_is_refused(desk: Desk) -> None:
    """A newline at the end of a variable would end up in a request."""
    text = OWN.replace("retirement-worker", "${CLIENT}")

    assert desk.problems(text, CLIENT="worker\n") == [
        "retirement.yaml:3: lms.client_id: must be one line without space at its ends"
    ]


def test_an_empty_text_is_refused(desk: Desk) -> None:
    """As good as missing."""
    assert desk.problems(OWN.replace("retirement-worker", "''")) == [
        "retirement.yaml:3: lms.client_id: is empty; give a value"
    ]


def test_a_step_that_is_no_mapping(desk: Desk) -> None:
    """A row of the other dialect in ours."""
    assert desk.problems(LMS + pipeline("[A, B, LMS, retirement_unenroll]", ACCOUNT)) == [
        "retirement.yaml:6: pipeline[0]: must be a mapping of keys and values"
    ]


def test_a_pipeline_that_is_no_list(desk: Desk) -> None:
    """One step written as if it were all."""
    assert desk.problems(LMS + f"pipeline: {ACCOUNT}\n") == ["retirement.yaml:5: pipeline: must be a list of steps"]
