"""What the pipeline does not reach, told from the configuration and from what the LMS says it has."""

import re
from pathlib import Path

import pytest

from retirement.config import Configuration, load
from retirement.connectors import registry
from retirement.site.coverage import STORES, Gap, Kind, candidates, gaps, rows, unused_states

from .doubles import World

SERVICES = """\
lms: {url: 'https://lms.example.com', client_id: c, client_secret: s, STATES}
services:
  CREDENTIALS: {url: 'https://credentials.example.com'}
  DISCOVERY: {url: 'https://discovery.example.com'}
pipeline:
  - {start: RETIRING_ENROLLMENTS, end: ENROLLMENTS_COMPLETE, service: LMS, operation: retirement_unenroll}
  - {start: RETIRING_CREDENTIALS, end: CREDENTIALS_COMPLETE, service: CREDENTIALS, operation: replace_usernames}
  - {start: RETIRING_LMS, end: LMS_COMPLETE, service: LMS, operation: retirement_lms_retire}
"""
FORUM = "  - {start: RETIRING_FORUMS, end: FORUMS_COMPLETE, service: LMS, operation: retirement_retire_forum}\n"
#: Sections of the contract of the services that tell of such places.
SECTIONS = {"A5", "A6", "A8", "A12", "A13", "A14", "B9", "B10", "G9"}
#: Words of names that say nothing of what is erased.
COMMON = {"and", "learner", "partner", "retirement"}


def configured(folder: Path, first: str = "", states: str = "allow_insecure: false") -> Configuration:
    path = folder / "retirement.yaml"
    path.write_text(SERVICES.replace("STATES", states).replace("pipeline:\n", f"pipeline:\n{first}"), encoding="utf-8")
    path.chmod(0o600)
    return load(path, environ={})


def named(found: list[Gap], kind: Kind) -> list[str]:
    return [gap.name for gap in found if gap.kind is kind]


def test_a_service_that_no_step_calls_is_a_gap(tmp_path: Path) -> None:
    """The LMS is none: everything goes through it."""
    assert named(gaps(configured(tmp_path)), Kind.SERVICE) == ["DISCOVERY"]


def test_operations_of_used_services_are_gaps(tmp_path: Path) -> None:
    """But those that are never used, and those whose work another one does, are not."""
    found = named(gaps(configured(tmp_path)), Kind.OPERATION)

    assert "CREDENTIALS retire_learner" in found
    assert "LMS retirement_lms_retire_misc" in found
    assert not {"LMS retirement_deactivate_logout", "LMS retirement_retire_mailings"}.intersection(found)
    assert not {"LMS retirement_unenroll", "DISCOVERY replace_usernames"}.intersection(found)


def test_places_that_nothing_erases_are_named_with_what_to_do(tmp_path: Path) -> None:
    """All that the contract knows, each with the section that says so."""
    found = [gap for gap in gaps(configured(tmp_path)) if gap.kind is Kind.STORE]

    assert {gap.section for gap in found} == SECTIONS
    assert len(found) == len(STORES)
    assert all(gap.detail and gap.fix for gap in found)


def test_a_place_that_has_a_word_of_a_service_or_of_a_step_names_what_erases_it() -> None:
    """In `erased_by` of `STORES`, so that a new connector or LMS step leaves no gap which it closes."""
    unnamed = set()
    for service, connector in registry().items():
        steps = {(service, name) for name in connector.operations()}
        for several in [{each} for each in steps] if service == "LMS" else [steps]:
            words = {word for each in several for word in _words(" ".join(each))} - COMMON
            places = [store for store in STORES if words & _words(store.name)]
            if places and not any(several.intersection(store.erased_by) for store in places):
                unnamed |= several

    assert unnamed == set()


def _words(text: str) -> set[str]:
    return set(re.findall("[a-z0-9]+", text.replace("_", " ").lower()))


def test_a_place_that_a_step_erases_is_no_gap(tmp_path: Path) -> None:
    """Forum posts, where the forum step is in the pipeline."""
    assert "forum posts" in named(gaps(configured(tmp_path)), Kind.STORE)
    assert "forum posts" not in named(gaps(configured(tmp_path, FORUM)), Kind.STORE)


def test_states_of_the_file_that_no_step_uses_are_gaps(tmp_path: Path) -> None:
    """`lms.states` says them without anybody being asked; the required ones and the idle ones are none."""
    states = "PENDING, LOCKING_ACCOUNT, LOCKING_COMPLETE, RETIRING_ENROLLMENTS, ENROLLMENTS_COMPLETE, "
    states += "RETIRING_CREDENTIALS, CREDENTIALS_COMPLETE, RETIRING_X, X_COMPLETE, RETIRING_LMS, LMS_COMPLETE, "
    configuration = configured(tmp_path, states=f"states: [{states}ERRORED, ABORTED, COMPLETE]")

    assert named(unused_states(configuration), Kind.STATE) == ["RETIRING_X", "X_COMPLETE"]


@pytest.mark.anyio
async def test_states_of_the_lms_that_no_step_uses_are_gaps(tmp_path: Path, world: World) -> None:
    """It lists none by itself: it is asked for those that sites usually have, and says which it has."""
    configuration = configured(tmp_path)
    site = world.site(configuration.pipeline)

    known = await site.lms.rows.known_states(candidates(configuration))

    found = named(unused_states(configuration, known), Kind.STATE)
    assert {"RETIRING_FORUMS", "FORUMS_COMPLETE"} <= set(found)
    assert not {"PENDING", "COMPLETE", "RETIRING_LMS", "RETIRING_EMAIL_LISTS"}.intersection(found)
    assert "RETIRING_BRAZE" in candidates(configuration)


def test_gaps_are_plain_data_for_programs(tmp_path: Path) -> None:
    """Without a section where the contract has no part in it."""
    first, *_, last = rows(gaps(configured(tmp_path)))

    assert first == {
        "kind": "service",
        "name": "DISCOVERY",
        "detail": "it is configured, and no step calls it",
        "fix": "add a step of DISCOVERY, or take its settings out",
        "section": None,
    }
    assert (last["kind"], last["section"]) == ("store", "G9")
