"""Credentials, discovery, ecommerce and the license manager: what they erase, and how little some of it is."""

from __future__ import annotations

import traceback
from typing import Any

import httpx
import pytest

from retirement.connectors import Outcome, ServiceSettings
from retirement.errors import Misconfigured, Refused, RetirementError, Transient
from retirement.learner import Learner
from retirement.site import Site

from .doubles import CONNECTORS, USERNAME, Script, World, holder, names_nobody, shipped

pytestmark = pytest.mark.anyio

PIPELINE = shipped("default")
RENAMING = ["CREDENTIALS", "DISCOVERY", "ECOMMERCE"]


async def prepared(world: World, *others: dict[str, Any], **changes: Any) -> tuple[Site, Learner]:
    world.seed(holder(ecommerce=True, discovery=True, **changes), *others, states=PIPELINE.lms_states)
    site = world.site(PIPELINE)
    return site, await world.learner(site, USERNAME)


async def error_of(service: str, operation: str, learner: Learner, answer: httpx.Response) -> RetirementError:
    connector = CONNECTORS[service][0](ServiceSettings(url="https://svc.example"), Script(answer).api())
    with pytest.raises(RetirementError) as caught:
        await connector.perform(operation, learner)
    assert names_nobody("".join(traceback.format_exception(caught.value)) + repr(caught.value.args))
    return caught.value


@pytest.mark.parametrize("service", RENAMING)
async def test_a_service_takes_the_retired_name(world: World, service: str) -> None:
    """Whatever else it erases depends on its release."""
    site, learner = await prepared(world)

    for _ in range(2):
        assert Outcome.ERASED is (await site.connectors[service].perform("replace_usernames", learner)).outcome

    left = [place for place in world.sandbox.residue(USERNAME) if place["service"] == CONNECTORS[service][1]]
    assert [place for place in left if place["what"] == "username"] == []


async def test_credentials_blanks_the_names_too(world: World) -> None:
    """The awards keep their new name."""
    site, learner = await prepared(world)
    await site.connectors["CREDENTIALS"].perform("replace_usernames", learner)

    left = world.sandbox.state()["learners"][USERNAME]["credentials"]
    assert (learner.retired_username, "", 2) == (left["username"], left["full_name"], left["awards"])


@pytest.mark.parametrize("service", RENAMING)
async def test_a_name_that_is_taken_is_refused(world: World, service: str) -> None:
    """A 200 with a failure in it: the body has to be read."""
    site, learner = await prepared(world)
    world.seed(
        holder(ecommerce=True, discovery=True),
        holder(learner.retired_username, ecommerce=True, discovery=True, state=None),
        states=PIPELINE.lms_states,
    )

    with pytest.raises(Refused) as caught:
        await site.connectors[service].perform("replace_usernames", learner)

    assert "could not replace" in str(caught.value)
    assert names_nobody(str(caught.value))


@pytest.mark.parametrize(
    "body",
    [
        {"successful_replacements": [], "failed_replacements": [{USERNAME: "retired__user_1"}]},
        {"successful_replacements": [{USERNAME: "retired__user_1"}], "failed_replacements": [{"x": "y"}]},
        {"successful_replacements": [{USERNAME: "retired__user_1-ab12"}], "failed_replacements": []},
        {"successful_replacements": [{"another": "retired__user_1"}], "failed_replacements": []},
        {"successful_replacements": [], "failed_replacements": []},
        {"successful_replacements": [{USERNAME: "retired__user_1"}]},
        {"failed_replacements": []},
        {"successful_replacements": None, "failed_replacements": None},
        [{USERNAME: "retired__user_1"}],
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize("service", RENAMING)
async def test_a_200_that_does_not_say_success_is_refused(ana: Learner, service: str, body: object) -> None:
    """Failures, another name than asked, somebody else's name, or no list at all."""
    answer = httpx.Response(200, json=body)

    assert type(await error_of(service, "replace_usernames", ana, answer)) is Refused


@pytest.mark.parametrize("service", RENAMING)
async def test_a_200_without_a_body_is_no_success(ana: Learner, service: str) -> None:
    """Nothing was said."""
    assert type(await error_of(service, "replace_usernames", ana, httpx.Response(200))) is Refused


ALL = [(service, "replace_usernames") for service in RENAMING] + [
    (service, "retire_learner") for service in ("CREDENTIALS", "ECOMMERCE", "LICENSE_MANAGER")
]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(400), Refused),
        (httpx.Response(401, json={"detail": "Invalid token."}), Misconfigured),
        (httpx.Response(403, json={"detail": USERNAME}), Misconfigured),
        (httpx.Response(404, html=f"<p>{USERNAME}</p>"), Misconfigured),
        (httpx.Response(405, html="<p>no</p>"), Misconfigured),
        (httpx.Response(301, headers={"location": f"/{USERNAME}"}), Misconfigured),
        (httpx.Response(200, html="<p>log in</p>"), Misconfigured),
        (httpx.Response(200, text="OK"), Misconfigured),
        (httpx.Response(500, html=f"<p>{USERNAME}</p>"), Transient),
        (httpx.Response(500, json="Error retiring user"), Transient),
    ],
    ids=["400", "401", "403", "404-page", "405", "301", "200-page", "200-text", "500-page", "500-json"],
)
@pytest.mark.parametrize(("service", "operation"), ALL)
async def test_other_answers_mean_what_they_mean_everywhere(
    ana: Learner, service: str, operation: str, answer: httpx.Response, expected: type[RetirementError]
) -> None:
    """No service has statuses of its own but for 404."""
    assert type(await error_of(service, operation, ana, answer)) is expected


@pytest.mark.parametrize("service", RENAMING)
async def test_a_404_of_a_renaming_service_is_never_absent(ana: Learner, service: str) -> None:
    """An unknown name counts as success there, so a 404 is the route."""
    error = await error_of(service, "replace_usernames", ana, httpx.Response(404, json={"detail": "Not found."}))

    assert "answered 404" in str(error)


@pytest.mark.parametrize("service", ["CREDENTIALS", "ECOMMERCE"])
async def test_the_route_that_never_existed_is_misconfigured(world: World, service: str) -> None:
    """A stock service answers an HTML 404, which a careless client reads as `nothing to erase`."""
    site, learner = await prepared(world)

    with pytest.raises(Misconfigured):
        await site.connectors[service].perform("retire_learner", learner)


@pytest.mark.parametrize("service", ["CREDENTIALS", "ECOMMERCE"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [(httpx.Response(204), Outcome.ERASED), (httpx.Response(404, json={"message": "Invalid user."}), Outcome.ABSENT)],
)
async def test_a_private_build_may_retire(
    ana: Learner, service: str, answer: httpx.Response, expected: Outcome
) -> None:
    """Its own JSON 404 says that it does not know the person."""
    connector = CONNECTORS[service][0](ServiceSettings(url="https://svc.example"), Script(answer).api())

    assert expected is (await connector.perform("retire_learner", ana)).outcome


@pytest.mark.parametrize("service", ["CREDENTIALS", "ECOMMERCE"])
async def test_an_empty_404_of_a_route_that_may_not_exist_is_not_absent(ana: Learner, service: str) -> None:
    """Envoy answers so where it has no route (contract, A15: JSON of a known shape, or no conclusion)."""
    error = await error_of(service, "retire_learner", ana, httpx.Response(404))

    assert "answered 404" in str(error)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        ({"licenses": ["activated"]}, Outcome.ERASED),
        ({"licenses": ["activated"], "license_user": False}, Outcome.ABSENT),
        ({"licenses": []}, Outcome.ABSENT),
    ],
)
async def test_the_license_manager_says_404_when_no_account_was_left(
    world: World, seed: dict[str, Any], expected: Outcome
) -> None:
    """The licences are scrubbed in the same call either way (contract, A4)."""
    site, learner = await prepared(world, **seed)

    assert expected is (await site.connectors["LICENSE_MANAGER"].perform("retire_learner", learner)).outcome

    left = world.sandbox.state()["learners"][USERNAME]["license_manager"]
    assert not left["user"]
    assert not [each for each in left["licenses"] if each["email"] or each["emails_in_history"]]


async def test_a_second_call_of_the_license_manager_is_absent(world: World) -> None:
    """204, then 404: the end is the same."""
    site, learner = await prepared(world)
    manager = site.connectors["LICENSE_MANAGER"]

    outcomes = [(await manager.perform("retire_learner", learner)).outcome for _ in range(2)]

    assert outcomes == [Outcome.ERASED, Outcome.ABSENT]


@pytest.mark.parametrize(("service", "operation"), ALL)
async def test_a_probe_tells_a_route_from_none(service: str, operation: str) -> None:
    """405 is the route; an HTML 404 is none; a host that says yes to everything is not the service."""
    connector = CONNECTORS[service][0]
    settings = ServiceSettings(url="https://svc.example")
    await connector(settings, Script(httpx.Response(405, json={})).api()).probe(operation)
    for answer in (httpx.Response(404, html=""), httpx.Response(404, html="<p>no</p>"), httpx.Response(200, text="OK")):
        with pytest.raises(RetirementError):
            await connector(settings, Script(answer).api()).probe(operation)
