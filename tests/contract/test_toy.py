"""The suite finds what it is there to find: connectors with one mistake each fail it, and one without passes."""

from __future__ import annotations

import pytest

from retirement.connectors import Connector
from tests.contract import promises, situations, toys
from tests.contract.catalogue import SITUATIONS
from tests.contract.subjects import Subject
from tests.contract.suite import FAILS, HOLDS, Situation, judged, title


def subject(kind: type[Connector]) -> Subject:
    """A toy that talks to the simulated Braze."""
    return Subject(kind.__name__, kind, "erase", "braze")


@pytest.mark.parametrize("situation", SITUATIONS, ids=title)
def test_a_sound_connector_passes(situation: Situation) -> None:
    """Else the mistakes below would prove nothing."""
    result = judged(subject(toys.Sound), situation)

    assert (HOLDS, "") == (result.word, result.reason)


@pytest.mark.parametrize(
    ("toy", "situation", "reason"),
    [
        (toys.SwallowsEvery404, situations.html_404, "says `absent`, but the service still has"),
        (toys.SwallowsEvery404, situations.own_404, "says `absent`, but the service still has"),
        (toys.NamesTheLearner, situations.false_success, "the Refused names the learner"),
        (toys.Credulous, situations.false_success, "200 with the body {}: says `erased`"),
        (toys.Careless, situations.wrong_credentials, "says `absent`, but the service still has"),
        (toys.Careless, situations.down_for_long, "says `absent`, but the service still has"),
        (toys.Careless, situations.hangs, "says `absent`, but the service still has"),
        (toys.Blames, situations.down_for_long, "ends as Refused, and Transient is due"),
        (toys.Breaks, situations.false_success, "a defect in the connector"),
        (toys.Impatient, situations.down_for_a_moment, "ends as Transient, and as accepted without it"),
        (toys.Impatient, situations.told_to_wait_in_seconds, "waits 0.0 s where it is told 7"),
        (toys.Impatient, situations.told_to_wait_until_a_date, "waits 0.0 s where it is told 8"),
        (toys.Impatient, situations.answer_lost, "ends as Transient"),
        (toys.Talkative, situations.html_404, "the log names the learner"),
        (toys.TellsMore, promises.declared_as_sent, "tells the service email"),
        (toys.ShowsItsKey, promises.secrets_are_masked, "api_key is a secret by its name"),
        (toys.TakesAnySetting, promises.settings_are_strict, "an unknown setting is taken"),
        (toys.SaysGone, promises.asked_about, "it says gone, and the data is there"),
        (toys.ProbesInEarnest, promises.probed, "its probe changes something"),
        (toys.DoesNothing, situations.done_when_nothing_is_in_the_way, "nothing has changed at the service"),
        (toys.Mute, promises.documented, "is no sentence"),
    ],
)
def test_a_mistake_is_found(toy: type[Connector], situation: Situation, reason: str) -> None:
    """In the situation where it does harm, and for the right reason."""
    result = judged(subject(toy), situation)

    assert FAILS == result.word
    assert reason in result.reason


def test_a_mistake_is_found_only_where_it_is() -> None:
    """Whoever swallows a 404 is not accused of anything else."""
    wrong = {situations.html_404, situations.own_404}
    results = {each: judged(subject(toys.SwallowsEvery404), each) for each in SITUATIONS}

    assert {title(each) for each in wrong} == {title(each) for each, result in results.items() if result.word == FAILS}
