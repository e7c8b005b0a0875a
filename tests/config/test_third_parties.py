"""Settings of connectors that others wrote: their own checks speak, and never quote a secret."""

from typing import Literal, Self

import pytest
from pydantic import SecretStr, field_validator, model_validator

from retirement.config import load
from retirement.connectors import Connector, Destroys, Identity, Outcome, ServiceSettings, operation, registry
from retirement.errors import ConfigError
from retirement.learner import Learner

from .desk import ENVIRON, LMS, SECRET, Desk, pipeline


class Careless(Connector):
    """Its checks put what they refuse into their words."""

    service = "CARELESS"

    class Settings(ServiceSettings):
        token: SecretStr
        region: Literal["east", "west"] = "east"

        @field_validator("token")
        @classmethod
        def looks_right(cls, token: SecretStr) -> SecretStr:
            if token.get_secret_value() == SECRET:
                raise ValueError(f"{token.get_secret_value()} is\nno token")
            return token

        @model_validator(mode="after")
        def fits(self) -> Self:
            if self.token.get_secret_value() == self.region:
                raise ValueError("token and region are the same")
            return self

    @classmethod
    def destroys_username(cls, settings: ServiceSettings, name: str) -> Destroys:
        return Destroys.PERHAPS if name == "forget" else Destroys.NO

    @operation(Identity.USERNAME)
    async def forget(self, learner: Learner) -> Outcome:
        """Forget."""
        return Outcome.ERASED

    @operation(Identity.USERNAME, finds_by_username=True)
    async def find(self, learner: Learner) -> Outcome:
        """Find."""
        return Outcome.ERASED


FORGET = "{start: FORGETTING, end: FORGET_COMPLETE, service: CARELESS, operation: forget}"
FIND = "{start: FINDING, end: FIND_COMPLETE, service: CARELESS, operation: find}"


def problems(desk: Desk, settings: str) -> list[str]:
    path = desk.write(LMS + f"services:\n  CARELESS: {settings}\n" + pipeline(FORGET))
    with pytest.raises(ConfigError) as caught:
        load(path, environ=ENVIRON, connectors=registry() | {"CARELESS": Careless})
    return [desk.short(line) for line in caught.value.args]


def test_the_words_of_a_check_are_passed_on_without_the_secret(desk: Desk) -> None:
    """On one line, like every problem."""
    assert problems(desk, f"{{url: 'https://x.example.com', token: {SECRET}}}") == [
        "retirement.yaml:6: services.CARELESS.token: ********** is no token"
    ]


def test_a_check_of_several_settings_is_told_at_the_service(desk: Desk) -> None:
    """It belongs to no key alone."""
    (problem,) = problems(desk, "{url: 'https://x.example.com', token: east}")

    assert problem.startswith("retirement.yaml:6: services.CARELESS: token and region are the same".replace("east", ""))


def test_a_choice_names_the_nearest(desk: Desk) -> None:
    """Also where it is a Literal."""
    assert problems(desk, "{url: 'https://x.example.com', token: t, region: wst}") == [
        "retirement.yaml:6: services.CARELESS.region: must be one of 'east' or 'west'; did you mean west?"
    ]


def test_an_operation_that_perhaps_destroys_warns_for_every_look_up(desk: Desk) -> None:
    """Which of them are harmless is known of the LMS only."""
    services = "services: {CARELESS: {url: 'https://x.example.com', token: t}}\n"
    path = desk.write(LMS + services + pipeline(FORGET, FIND))

    found = load(path, environ=ENVIRON, connectors=registry() | {"CARELESS": Careless})

    assert len(found.warnings) == 1
    assert "FINDING looks the learner up by username, and some releases of CARELESS change it" in found.warnings[0]


def test_without_connectors_nothing_can_be_served(desk: Desk) -> None:
    """A broken installation is told, not a crash."""
    with pytest.raises(ConfigError) as caught:
        load(desk.write(LMS + pipeline(FORGET)), environ=ENVIRON, connectors={})

    assert any("no connector serves CARELESS" in line for line in caught.value.args)
