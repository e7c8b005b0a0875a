"""The one rule of what names a learner: every spelling counts, and nothing that is ours is a name."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from retirement import errors, privacy
from retirement.errors import Ending
from retirement.learner import Learner
from retirement.privacy import contains_name, id_mentions, known, mentions, names_of, redact, withheld
from retirement.sandbox.pipelines import states

WHEN = datetime(2026, 3, 1, tzinfo=UTC)
NOBODY = Learner(
    user_id=101,
    retirement_id=7,
    username="",
    email="",
    name="",
    retired_username="retired__user_x",
    retired_email="retired__user_x@retired.invalid",
    current_username="",
    state="PENDING",
    last_state="PENDING",
    requested_at=WHEN,
    changed_at=WHEN,
)

#: Letters, digits and signs that usernames, addresses and names are made of, in several scripts.
LETTERS = st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\\%")
NAMES = st.text(LETTERS, min_size=1, max_size=20).filter(lambda name: sum(map(str.isalnum, name)) >= 3)


def in_json(name: str) -> str:
    return json.dumps(name)[1:-1]


def byte_by_byte(name: str) -> str:
    return "".join(f"%{byte:02x}" for byte in name.encode())


def in_a_url_in_json(name: str) -> str:
    return json.dumps({"next": quote(f"/u/{name}/", safe="")})


SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    str.casefold,
    quote,
    quote_plus,
    lambda name: quote(name, safe=""),
    lambda name: quote(quote(name, safe=""), safe=""),
    byte_by_byte,
    in_json,
    lambda name: in_json(in_json(name)),
    lambda name: in_json(name.upper()),
    lambda name: quote(name.lower()),
    ascii,
    in_a_url_in_json,
)
#: What ends a word, in clear or as the others spell it.
AROUND = [" ", "/", "=", "&", '"', "'", ",", ":", "\n", "<", ">", "(", ")", "?", "_", "-", "\t", "@"]


@given(NAMES, st.sampled_from(SPELLINGS), st.text(), st.text(), st.sampled_from(AROUND), st.sampled_from(AROUND))
def test_any_spelling_of_a_name_is_a_mention_whatever_stands_around_it(
    name: str, spell: Callable[[str], str], before: str, after: str, left: str, right: str
) -> None:
    """As username, address or name, and for an id that a service made unless the name is a number."""
    text = f"{before}{left}{spell(name)}{right}{after}"
    assume(not name.strip().isdecimal() and name.casefold().strip() not in privacy.KINDS_OF_RECORDS)

    for learner in (replace(NOBODY, username=name), replace(NOBODY, email=name), replace(NOBODY, name=name)):
        assert mentions(text, learner)
        assert id_mentions(text, learner)
        assert withheld(text, [NOBODY, learner]).startswith("withheld: ")


@given(NAMES, st.sampled_from(SPELLINGS), st.text(), st.text())
def test_a_log_line_mentions_no_learner_at_work(
    name: str, spell: Callable[[str], str], before: str, after: str
) -> None:
    """The filter before the logs goes by the same rule."""
    learner = replace(NOBODY, name=name)

    with known(learner):
        assert not mentions(redact(f"{before} {spell(name)} {after}"), learner)


#: Sentences, states and ids of ours, as they stand in the ledger, in Prefect and in logs.
OURS = st.one_of(
    st.sampled_from([*states("all"), *Ending, "COMPLETE", "PENDING"]),
    st.sampled_from([str(each.__doc__).split("\n", maxsplit=1)[0] for each in vars(errors).values() if each.__doc__]),
    st.sampled_from(["CREDENTIALS: POST /api/v2/replace_usernames/ answered 400", "learner 101: the run was stopped"]),
    st.integers(min_value=1, max_value=2**63 - 1).map(str),
    st.uuids().map(str),
)


@given(st.lists(OURS, max_size=6).map("; ".join), st.text("gjkqvwxz", min_size=3), st.text("gjkqvwxz", min_size=3))
def test_texts_of_ours_mention_no_learner(text: str, username: str, name: str) -> None:
    """States, fixed sentences and ids, for learners who are not called by a word of them."""
    learner = replace(NOBODY, username=username, email=f"{username}@post.example", name=f"{name} {username}")
    assume(username not in privacy.words_of(text))

    assert not mentions(text, learner)
    assert not id_mentions(text, learner)
    assert withheld(text, [learner]) == text


@pytest.mark.parametrize("text", ["stepwise over 3 steps", "a footstep", "step9", "ste p"])
def test_a_part_of_a_word_is_no_mention(text: str) -> None:
    """Else one learner called `step` withheld every second sentence."""
    assert not mentions(text, replace(NOBODY, username="step"))


@pytest.mark.parametrize("name", ["lead", "Contact", "123456"])
def test_words_that_ids_are_made_of_name_nobody_in_an_id(name: str) -> None:
    """In a sentence that a person typed they do."""
    learner = replace(NOBODY, username=name)

    assert not id_mentions(f"lead contact:00Q-{name}-123456", learner)
    assert mentions(f"because of {name}", learner)


def test_a_short_name_counts_only_where_a_place_says_so() -> None:
    """`an` is a word of most sentences; a row of a database that holds it is a finding all the same."""
    learner = replace(NOBODY, username="an", name="!!")

    assert names_of(learner) == ()
    assert names_of(learner, shortest=2) == ("an",)
    assert not mentions("asked for an exception", learner)
    assert mentions("no such user AN", learner, shortest=1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Ana María", "of ana maria, as asked"),
        ("Yıldız Ağa", "YILDIZ AĞA"),
        ("Straße 9", "STRASSE-9"),
        ("ana.gomez+x", "/users/Ana.Gomez%2Bx/"),
        ("ana.gomez+x", "?u=ana.gomez%252Bx&z=1"),
        ("Zoe Canary", "?name=Zoe+Canary"),
        ("\N{BIRD}zoe", '{"name": "\\ud83d\\udc26zoe"}'),
        ("קנרית", '"\\u05e7\\u05e0\\u05e8\\u05d9\\u05ea"'),
    ],
)
def test_spellings_that_programs_and_people_use(name: str, text: str) -> None:
    """Each of them has been met in a log, a URL or a reason."""
    assert contains_name(text, [name])
