"""Services of names that no connector has, and steps that should come after another's service."""

from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from retirement.config import as_own_dialect, describe
from retirement.connectors import Connector, Identity, Operation, Outcome, ServiceSettings, operation, registry
from retirement.learner import Learner

from .desk import ENROLLMENTS, LMS, Desk, pipeline


class Request(BaseModel):
    """What is sent; `json` is the name that operators know."""

    model_config = ConfigDict(extra="forbid")

    path: str
    body: dict[str, Any] = Field(default_factory=dict, alias="json")


class Anything(Connector):
    """Serves whatever its settings describe."""

    service = "ANYTHING"

    class Settings(ServiceSettings):
        headers: dict[str, SecretStr] = Field(default_factory=dict, description="Headers.")
        request: Request | None = Field(default=None, description="Request.")
        told: Identity = Field(default=Identity.USER_ID, description="What the service is told.")

    @classmethod
    def declared(cls, settings: ServiceSettings | None) -> dict[str, Operation]:
        """An erasure that needs what the settings say."""
        told = settings.told if isinstance(settings, cls.Settings) else Identity.USER_ID
        return {"erase": Operation("erase", "Erase.", frozenset({told}), None, finds_by_username=told == "username")}

    @operation()
    async def erase(self, learner: Learner) -> Outcome:
        """Erase."""
        return Outcome.ERASED


class Door(Connector):
    """Where people sign in."""

    service = "DOOR"

    @operation(Identity.USERNAME)
    async def lock(self, learner: Learner) -> Outcome:
        """Lock."""
        return Outcome.ERASED

    @operation(Identity.USERNAME)
    async def look(self, learner: Learner) -> Outcome:
        """Look."""
        return Outcome.ERASED


class Workshop(Connector):
    """Makes a user anew for whoever is signed in."""

    service = "WORKSHOP"

    @operation(Identity.USERNAME, safer_after="DOOR.lock")
    async def clear(self, learner: Learner) -> Outcome:
        """Clear."""
        return Outcome.ERASED


def step(service: str, operation: str, after: str = "") -> str:
    name = f"{service}_{operation}".upper()
    states = f"start: RETIRING_{name}, end: {name}_COMPLETE"
    return f"{{{states}, service: {service}, operation: {operation}{after and f', after: {after}'}}}"


@pytest.fixture
def shop(desk: Desk) -> Desk:
    fakes: dict[str, type[Connector]] = {"ANYTHING": Anything, "DOOR": Door, "WORKSHOP": Workshop}
    desk.connectors = registry() | fakes
    return desk


CRM = "services: {CRM: {connector: ANYTHING, url: 'https://crm.example.com'}}\n"


def test_a_service_of_any_name_is_served_by_the_connector_that_it_names(shop: Desk) -> None:
    """As often as a site has such services."""
    text = LMS + "services:\n  CRM: {connector: ANYTHING, url: 'https://crm.example.com'}\n"
    text += "  SHOP: {connector: ANYTHING, url: 'https://shop.example.com'}\n"

    found = shop.load(text + pipeline(ENROLLMENTS, step("CRM", "erase"), step("SHOP", "erase")))

    assert (found.connectors["CRM"], found.connectors["SHOP"]) == (Anything, Anything)
    assert found.services["SHOP"].url == "https://shop.example.com"


def test_its_name_survives_a_conversion(shop: Desk) -> None:
    """With its secrets as variables that a shell can set, a body as it is sent, and used by a step or not."""
    text = LMS + "services:\n  CRM:\n    connector: ANYTHING\n    url: https://crm.example.com\n"
    text += "    headers: {X-Api-Key: s3}\n    request: {path: /x, json: {a: null, b: 5, c: true}}\n"
    text += "  SHOP: {connector: ANYTHING, url: 'https://shop.example.com'}\n"
    before = shop.load(text + pipeline(ENROLLMENTS, step("CRM", "erase")))

    converted = as_own_dialect(before)
    after = shop.load(converted, RETIREMENT_CRM_HEADERS_X_API_KEY="s3")

    assert yaml.safe_load(converted)["services"]["CRM"]["headers"] == {
        "X-Api-Key": "${RETIREMENT_CRM_HEADERS_X_API_KEY}"
    }
    assert (before.services, before.connectors) == (after.services, after.connectors)
    assert isinstance(after.services["CRM"], Anything.Settings)
    assert after.services["CRM"].request == Request(path="/x", json={"a": None, "b": 5, "c": True})
    assert describe(after)["services"]["CRM"]["connector"] == "ANYTHING"


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("CRM: {connector: ANYTHNG}", "services.CRM.connector: there is no connector ANYTHNG; did you mean ANYTHING?"),
        ("CRM: {connector: 5}", "services.CRM.connector: must name a connector; there is "),
        (
            "CREDENTIALS: {connector: ANYTHING}",
            "services.CREDENTIALS.connector: CREDENTIALS has a connector of its own; name the service otherwise",
        ),
        ("QQQQ: {url: x}", "services.QQQQ: is no service that a connector serves; say which one does, `connector: "),
        ("CRM: {connector: ANYTHING}", "services.CRM.url: is missing; give it: Base URL of the service"),
    ],
)
def test_what_is_wrong_with_the_name_of_a_connector_is_told_once(shop: Desk, section: str, problem: str) -> None:
    """The step that uses the service is not blamed as well."""
    service = section.partition(":")[0]
    used = [step(service, "erase")] if service == "CRM" else []

    told = shop.problems(LMS + f"services:\n  {section}\n" + pipeline(ENROLLMENTS, *used))

    assert len([each for each in told if "retirement.yaml:6: " in each]) == len(told)
    assert told[0].startswith(f"retirement.yaml:6: {problem}")


def test_a_service_may_name_its_own_connector(shop: Desk) -> None:
    """It says nothing new, and is no mistake."""
    text = LMS + "services: {DOOR: {connector: DOOR, url: 'https://d.example.com'}}\n"

    assert shop.load(text + pipeline(step("DOOR", "lock"))).connectors == {"DOOR": Door}


def test_what_an_operation_needs_may_hang_on_the_settings(shop: Desk) -> None:
    """A service that is told the username finds nobody after the account is gone."""
    text = LMS + CRM + pipeline(step("CRM", "erase"))

    assert shop.problems(text) == []
    assert shop.problems(text.replace("connector: ANYTHING", "connector: ANYTHING, told: username")) == []


def test_a_live_session_brings_the_user_back(shop: Desk) -> None:
    """A warning where sessions end later or not at all; none where they end before, or nobody can end them."""
    services = "services: {DOOR: {url: 'https://d.example.com'}, WORKSHOP: {url: 'https://w.example.com'}}\n"
    clear, lock, look = step("WORKSHOP", "clear"), step("DOOR", "lock"), step("DOOR", "look")
    told = (
        "RETIRING_WORKSHOP_CLEAR does not come after lock of DOOR, so a live session or a late event brings "
        "the user back; let lock end before"
    )

    def warnings(*steps: str) -> list[str]:
        return [each.partition("operation: ")[2] for each in shop.warnings(LMS + services + pipeline(*steps))]

    assert warnings(lock, clear) == []
    assert warnings(lock, look, clear) == []
    assert warnings(ENROLLMENTS, clear) == []
    assert warnings(clear, lock) == [told]
    assert warnings(look, clear) == [told]
    assert warnings(lock, step("WORKSHOP", "clear", after="[]")) == [told]
