"""The guard against mass erasure: what trips it, what does not, and what its sentences say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from retirement.config import GuardSettings
from retirement.learner import Learner
from retirement.queue.guard import Facts, History, assess, domain_of, staff_among

from .doubles import row

SETTINGS = GuardSettings()
COUNTS = st.integers(0, 5_000)
HISTORIES = st.builds(
    History,
    age_days=st.floats(0, 1_000),
    days_since_run=st.floats(0, 60),
    first_seen=COUNTS,
    first_seen_by_domain=st.dictionaries(st.sampled_from("abc"), COUNTS),
)
FACTS = st.builds(
    Facts,
    depth=COUNTS,
    by_domain=st.dictionaries(st.sampled_from("abcd"), COUNTS),
    staff=st.frozensets(st.integers(1, 99)),
    history=HISTORIES,
)


def kinds(facts: Facts, threshold: int = 300, **settings: Any) -> list[str]:
    return [trip.kind for trip in assess(facts, GuardSettings(**settings), threshold)]


def learner(user_id: int, email: str) -> Learner:
    return Learner.from_row(row(user={**row()["user"], "id": user_id}, original_email=email))


def test_five_hundred_at_once_trip_at_the_defaults() -> None:
    """Also where the ledger has seen nobody yet."""
    assert kinds(Facts(500)) == ["depth"]
    assert kinds(Facts(300)) == []


def test_many_more_than_usual_trip() -> None:
    """Two a day for four weeks, and sixty in one night."""
    history = History(age_days=400, first_seen=56)

    assert kinds(Facts(60, history=history)) == ["rate"]
    assert kinds(Facts(60, history=History(age_days=400, first_seen=56, days_since_run=6))) == []
    assert kinds(Facts(50, history=history)) == []
    assert kinds(Facts(60, history=history), floor=60) == []
    assert kinds(Facts(11, history=history), floor=10) == ["rate"]
    assert kinds(Facts(11, history=history), floor=10, factor=6) == []


def test_a_young_ledger_knows_no_rate() -> None:
    """It has watched for less than a week; after that the days that it has watched count."""
    assert kinds(Facts(299, history=History(age_days=6.9, first_seen=1))) == []
    assert kinds(Facts(299, history=History(age_days=7, first_seen=1))) == ["rate"]
    assert kinds(Facts(70, history=History(age_days=7, first_seen=98))) == []
    assert kinds(Facts(71, history=History(age_days=7, first_seen=98))) == ["rate"]


def test_one_domain_in_bulk_trips() -> None:
    """More than its floor, more than usual for it, and more than its share of those who wait."""
    assert kinds(Facts(40, {"a": 26, "b": 14})) == ["domain"]
    assert kinds(Facts(40, {"a": 25, "b": 15})) == []
    assert kinds(Facts(52, {"a": 26, "b": 26})) == []
    assert kinds(Facts(60, {"a": 26}), domain_share=0.4) == ["domain"]
    usual = History(age_days=28, first_seen=280, first_seen_by_domain={"a": 168})
    assert kinds(Facts(30, {"a": 30}, history=usual)) == []
    assert kinds(Facts(31, {"a": 31}, history=usual)) == ["domain"]


def test_staff_trips_whatever_the_number() -> None:
    """They are named by user id, ten at most."""
    (one,) = assess(Facts(3, staff=(17,)), SETTINGS, 300)
    (many,) = assess(Facts(30, staff=range(1, 14)), SETTINGS, 300)

    assert (one.kind, one.sentence) == ("staff", "1 of those who wait are the site's own people: user ids 17")
    assert many.sentence.endswith("user ids 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more")


def test_staff_is_known_by_id_and_by_domain() -> None:
    """Without regard to case; a subdomain is another domain, and an address without @ has none."""
    learners = [
        learner(1, "ana@Example.COM"),
        learner(2, "bo@sub.example.com"),
        learner(3, "no address"),
        learner(4, ""),
        learner(5, "eve@example.com@elsewhere.example"),
    ]

    assert staff_among(learners, (), ("example.com",)) == (1,)
    assert staff_among(learners, (4, 3, 99), ("EXAMPLE.com",)) == (1, 3, 4)
    assert [domain_of(each) for each in learners] == [
        *("example.com", "sub.example.com", None, None, "elsewhere.example")
    ]


def test_a_sentence_names_no_domain() -> None:
    """Nor its digest: only numbers."""
    (trip,) = assess(Facts(30, {"0123abcd": 30}), SETTINGS, 300)

    assert trip.sentence == (
        "30 of the 30 learners who wait share one e-mail domain, "
        "where 0.0 are usual since the last run; the limit is 25"
    )


@given(FACTS, st.integers(1, 1_000))
def test_depth_trips_exactly_above_the_threshold(facts: Facts, threshold: int) -> None:
    """Whatever else is true."""
    assert ("depth" in kinds(facts, threshold)) == (facts.depth > threshold)


@given(FACTS)
def test_nothing_trips_at_or_below_the_floors(facts: Facts) -> None:
    """A small queue is never held for its rate, nor a few learners for their domain."""
    found = kinds(facts)

    assert "rate" not in found or facts.depth > SETTINGS.floor
    assert "domain" not in found or max(facts.by_domain.values()) > SETTINGS.domain_floor
    assert ("staff" in found) == bool(facts.staff)


@given(FACTS, st.integers(0, 1_000))
def test_more_learners_never_untrip_depth_or_rate(facts: Facts, more: int) -> None:
    """Whoever hides in a crowd makes the crowd larger."""
    crowd = Facts(facts.depth + more, facts.by_domain, facts.staff, facts.history)
    alone = {kind for kind in kinds(facts) if kind != "domain"}

    assert alone <= set(kinds(crowd))


@given(FACTS)
def test_sentences_are_one_line_of_numbers(facts: Facts) -> None:
    """No digest gets into them."""
    digests = {f"<{name}>": count for name, count in facts.by_domain.items()}

    for trip in assess(Facts(facts.depth, digests, facts.staff, facts.history), SETTINGS, 10):
        assert trip.sentence.splitlines() == [trip.sentence]
        assert "<" not in trip.sentence
