"""Our own dialect, as somebody who reads the documentation writes it."""

from pathlib import Path

import pytest

from retirement.config import as_own_dialect, load
from retirement.connectors.openedx import Forum, OpenEdx, OpenEdxSettings
from retirement.errors import ConfigError

from .desk import ACCOUNT, CREDENTIALS, ENROLLMENTS, ENVIRON, FORUMS, LMS, MISC, OWN, SECRET, Desk, pipeline


def test_what_is_left_out_has_the_documented_default(desk: Desk) -> None:
    """Seven days, thirty days, 200 learners of at most 300, twenty at once, four tries in 45 seconds."""
    found = desk.load(OWN)

    assert (
        found.dialect,
        found.cool_off_days,
        found.deadline_days,
        found.schedule,
        found.warnings,
    ) == ("own", 7, 30, None, ())
    assert (found.queue.limit, found.queue.threshold, found.queue.at_once) == (200, 300, 20)
    assert (
        found.retry.attempts,
        found.retry.seconds,
        found.retry.task_retries,
        found.retry.task_delay_seconds,
    ) == (4, 45, 2, 60)


def test_the_guards_have_documented_defaults(desk: Desk) -> None:
    """A lease of two minutes, a ledger wherever the installation keeps it, and nobody known as staff."""
    found = desk.load(OWN)

    assert (found.lease_seconds, found.reconcile_schedule, dict(found.deadline_days_by_country)) == (
        120,
        "7 * * * *",
        {},
    )
    assert (found.ledger.url, found.ledger.anchor, found.ledger.key) == (None, None, None)
    assert tuple(found.guard.model_dump().values()) == (5, 50, 25, 0.5, (), (), 12, 48, None, False)
    assert tuple(found.breaker.model_dump().values()) == (3, 300, 3600, 5)


def test_guards_breakers_and_deadlines_can_be_given(desk: Desk) -> None:
    """Domains without regard to case, countries by their codes; `NO` is Norway and no refusal."""
    text = (
        OWN + "deadline_days_by_country: {US: 45, NO: 20}\nlease_seconds: 15\nreconcile_schedule: 30 * * * *\n"
        "guard: {factor: 2.5, floor: 0, domain_floor: 1, domain_share: 1, wait_hours: 0,\n"
        "  staff_ids: [3, '${ADMIN}'], staff_domains: [Example.COM, staff.example.org]}\n"
        "breaker: {learners: 1, seconds: 10, longest_seconds: 10}\n"
    )

    found = desk.load(text, ADMIN="7")

    assert found.deadline_days_by_country == {"US": 45, "NO": 20}
    assert (found.shortest_deadline_days, found.lease_seconds, found.reconcile_schedule) == (20, 15, "30 * * * *")
    assert found.guard.staff_domains == ("example.com", "staff.example.org")
    assert (found.guard.factor, found.guard.staff_ids, found.guard.wait_hours) == (2.5, (3, 7), 0)
    assert tuple(found.breaker.model_dump().values()) == (1, 10, 10, 5)


def test_a_step_follows_the_one_written_before_it(desk: Desk) -> None:
    """Without `after` the pipeline is a line."""
    steps = desk.load(OWN).pipeline

    assert [step.after for step in steps] == [(), ("RETIRING_ENROLLMENTS",), ("RETIRING_LMS_MISC",)]


def test_after_makes_steps_run_at_the_same_time(desk: Desk) -> None:
    """An empty list waits for nobody, a list for all it names."""
    services = "services: {CREDENTIALS: {url: https://credentials.example.com}}\n"
    free = CREDENTIALS.replace("}", ", after: []}")
    last = ACCOUNT.replace("}", ", after: [RETIRING_ENROLLMENTS, RETIRING_CRED]}")

    steps = desk.load(LMS + services + pipeline(ENROLLMENTS, free, last)).pipeline

    assert [step.after for step in steps] == [(), (), ("RETIRING_ENROLLMENTS", "RETIRING_CRED")]


def test_the_lms_is_a_service_with_settings_of_its_own(desk: Desk) -> None:
    """Its address comes from `lms`, its forum from `services.LMS`."""
    found = desk.load(LMS + "services: {LMS: {forum: v2-new}}\n" + pipeline(ENROLLMENTS, FORUMS, ACCOUNT))

    settings = found.services["LMS"]
    assert isinstance(settings, OpenEdxSettings)
    assert (settings.url, settings.forum) == ("https://courses.example.com", Forum.V2_NEW)
    assert {"LMS": OpenEdx} == found.connectors


def test_every_setting_can_be_given(desk: Desk) -> None:
    """Numbers may come out of the environment as text."""
    text = (
        OWN + "cool_off_days: 3\ndeadline_days: 28\nschedule: '*/15 0-4 1,15 jan-jun mon'\n"
        "queue: {limit: '${LIMIT}', threshold: 20, at_once: 2}\n"
        "retry: {attempts: 1, seconds: 0.5, task_retries: 0, task_delay_seconds: 0}\n"
    )

    found = desk.load(text, LIMIT="10")

    assert (found.cool_off_days, found.deadline_days, found.schedule) == (3, 28, "*/15 0-4 1,15 jan-jun mon")
    assert (found.queue.limit, found.queue.threshold, found.queue.at_once) == (10, 20, 2)
    assert tuple(found.retry.model_dump().values()) == (1, 0.5, 0, 0)


def test_the_states_of_the_site_may_hold_more_than_the_pipeline(desk: Desk) -> None:
    """The LMS allows forward skips, so states that no step uses do no harm."""
    states = (
        "PENDING, LOCKING, LOCKED, RETIRING_ENROLLMENTS, ENROLLMENTS_COMPLETE, RETIRING_LMS_MISC, LMS_MISC_COMPLETE"
    )
    text = OWN.replace(
        "lms:\n", f"lms:\n  states: [{states}, RETIRING_LMS, LMS_COMPLETE, ERRORED, ABORTED, COMPLETE]\n"
    )

    states_found = desk.load(text).lms.states

    assert states_found is not None
    assert len(states_found) == 12


@pytest.mark.parametrize("convert", [lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff# Prüfung\n" + text])
def test_files_from_other_systems_load(desk: Desk, convert: type[str]) -> None:
    """Windows line ends, a byte order mark and comments in any script."""
    assert len(desk.load(convert(OWN)).pipeline) == 3


def test_a_merged_mapping_counts_as_written(desk: Desk) -> None:
    """YAML's `<<`, where what stands beside it wins."""
    step = "{<<: {start: NO, service: LMS}, start: RETIRING_LMS, end: LMS_COMPLETE, operation: retirement_lms_retire}"

    assert [each.name for each in desk.load(LMS + pipeline(step)).pipeline] == ["RETIRING_LMS"]


def test_a_client_id_of_digits_needs_no_quotes(desk: Desk) -> None:
    """What YAML takes for a number is used as it is written where text is due."""
    assert desk.load(OWN.replace("retirement-worker", "007")).lms.client_id == "007"


def test_the_path_comes_from_the_environment_and_then_by_default(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """RETIREMENT_CONFIG names the file, else it is `retirement.yaml` here."""
    desk.write(OWN)
    monkeypatch.chdir(desk.folder)

    assert load(environ=ENVIRON).source == "retirement.yaml"
    assert str(desk.path) == load(environ=ENVIRON | {"RETIREMENT_CONFIG": str(desk.path)}).source


def test_the_environment_of_the_process_is_the_default(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to hand in `os.environ`."""
    monkeypatch.setenv("RETIREMENT_CLIENT_SECRET", SECRET)

    assert load(Path(desk.write(OWN))).lms.client_secret.get_secret_value() == SECRET


def test_no_representation_shows_the_secret(desk: Desk) -> None:
    """`repr` and `str` end up in tracebacks and logs."""
    found = desk.load(OWN)

    assert found.lms.client_secret.get_secret_value() == SECRET
    assert SECRET not in f"{found!r} {found} {found.lms!r} {found.services!r}"


def test_misc_and_account_may_be_left_out(desk: Desk) -> None:
    """A pipeline of one step is a pipeline."""
    assert len(desk.load(LMS + pipeline(MISC)).pipeline) == 1


def test_the_former_names_of_the_cleanup_settings_still_work(desk: Desk) -> None:
    """For one release, with a warning that says the new name."""
    found = desk.load(OWN + "archive_days: 3\narchive_schedule: 0 5 * * 0\n")

    assert (found.cleanup_days, found.cleanup_schedule) == (3, "0 5 * * 0")
    assert [word for each in found.warnings for word in ("cleanup_days", "cleanup_schedule") if word in each] == [
        "cleanup_days",
        "cleanup_schedule",
    ]


def test_a_setting_has_one_name(desk: Desk) -> None:
    """Under both, nothing says which of the two values is meant."""
    with pytest.raises(ConfigError, match="archive_days: is the former name of cleanup_days; keep that one"):
        desk.load(OWN + "archive_days: 3\ncleanup_days: 4\n")


@pytest.mark.parametrize(
    ("given", "found"), [("at_once: auto", 32), ("at_once: '${N}', at_once_most: 50", 50), ("at_once: '7'", 7)]
)
def test_the_number_of_learners_at_a_time_may_be_found_out(desk: Desk, given: str, found: int) -> None:
    """Then another one is the most; both are written out again."""
    configuration = desk.load(OWN + f"queue: {{{given}}}\n", N="auto")

    assert configuration.queue.most_at_once == found
    assert desk.load(as_own_dialect(configuration), RETIREMENT_CLIENT_SECRET="s").queue == configuration.queue
