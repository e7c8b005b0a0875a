"""The forum switched off in the LMS' admin (contract lms.md, appendix on the whole LMS)."""

from __future__ import annotations

from typing import Any

import pytest

from .world import ACCOUNTS, World

pytestmark = pytest.mark.anyio

FORUM = "/api/discussion/v1/accounts/retire_forum"
OFF = {"forum": "off"}
PIA: dict[str, Any] = {"username": "pia", "state": "RETIRING_FORUMS"}


@pytest.mark.parametrize("path", [FORUM, f"{FORUM}/"])
@pytest.mark.parametrize("knows", [True, False], ids=["has posts", "never there"])
async def test_a_forum_that_is_off_answers_one_text_for_everybody(world: World, knows: bool, path: str) -> None:
    """A JSON text with a 500, each time, whether the forum knows the learner or not; nothing is done."""
    world.seed({**PIA, "forum": knows}, settings=OFF)
    before = world.state("pia")

    answers = [await world.call("POST", path, json={"username": "pia"}) for _ in range(2)]

    assert [(answer.status_code, answer.json()) for answer in answers] == [(500, "service disabled")] * 2
    assert world.state("pia") == before


async def test_the_row_and_its_state_are_looked_at_before_the_switch(world: World) -> None:
    """An absent row, a wrong state, and a body without a name are answered as ever."""
    world.seed({**PIA, "state": "PENDING"}, settings=OFF)

    absent = await world.call("POST", f"{FORUM}/", json={"username": "unknown"})
    waiting = await world.call("POST", f"{FORUM}/", json={"username": "pia"})
    nameless = await world.call("POST", f"{FORUM}/", json={})

    assert (absent.status_code, absent.content) == (404, b"")
    assert waiting.status_code == 500
    assert "not a valid state" in waiting.json()
    assert (nameless.status_code, nameless.headers["content-type"][:9]) == (500, "text/html")


async def test_the_other_steps_do_not_need_the_forum(world: World) -> None:
    """The switch is the forum's alone, and credentials are still looked at first."""
    world.seed({**PIA, "enrollments": [{"org": "OrgA"}]}, settings=OFF)

    unenroll = await world.call("POST", "/api/enrollment/v1/unenroll/", json={"username": "pia"})
    retire = await world.call("POST", f"{ACCOUNTS}/retire/", json={"username": "pia"})
    plain = await world.call("POST", f"{FORUM}/", auth="plain", json={"username": "pia"})

    assert (unenroll.json(), retire.status_code, plain.status_code) == (["OrgA"], 204, 403)


async def test_renaming_in_a_forum_that_is_off_is_a_failure_inside_a_200(world: World) -> None:
    """A name without an account counts as a success, as it does with the forum on."""
    world.seed({"username": "pia"}, settings=OFF)
    body = {"username_mappings": [{"old": "pia"}, {"ghost": "ghost2"}]}

    answer = await world.call("POST", "/api/discussion/v1/accounts/replace_username", json=body)

    assert answer.json() == {
        "successful_replacements": [{"ghost": "ghost2"}],
        "failed_replacements": [{"old": "pia"}],
    }
