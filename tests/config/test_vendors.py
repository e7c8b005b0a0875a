"""Keys of vendors in files of the reference scripts: which setting each is, and what is told where one is wrong."""

from typing import ClassVar, Self

import pytest
from pydantic import Field, SecretStr, model_validator

from retirement.config import as_own_dialect, describe, load
from retirement.connectors import Connector, Identity, Outcome, ServiceSettings, operation, registry
from retirement.learner import Learner

from .desk import ENVIRON, TUBULAR, UNSAID, Desk

#: The vendors of the reference scripts, with their operations and every key of theirs but Salesforce's login.
STEPS = {
    "BRAZE": "delete_user",
    "AMPLITUDE": "delete_user",
    "HUBSPOT": "delete_user",
    "SEGMENT": "delete_and_suppress_learner",
}
KEYS = """\
fetch_ecommerce_segment_id: true
braze_api_key: k-braze
braze_instance: iad-06
amplitude_api_key: k-amplitude
amplitude_secret_key: s-amplitude
segment_auth_token: t-segment
segment_workspace_slug: slug
hubspot_api_key: k-hubspot
hubspot_aws_region: r
hubspot_from_address: a
hubspot_alert_email: a
"""


class Courier(Connector):
    """A vendor that needs two keys together, as Braze does, and has ended its first login, as Salesforce has."""

    service = "SEGMENT"
    reference_keys: ClassVar = {"segment_auth_token": "token", "segment_workspace_slug": "slug"}
    withdrawn_keys: ClassVar = {"segment_user": "Segment takes no user any more; it takes a token."}

    class Settings(ServiceSettings):
        url: str = Field(default="", description="Address.")
        token: SecretStr = Field(description="Token.")
        slug: str | None = Field(default=None, pattern="^[a-z]+$", description="Name of the workspace.")
        ecommerce_url: str | None = Field(default=None, description="Address of ecommerce.")

        @model_validator(mode="after")
        def _whole(self) -> Self:
            if not self.slug and not self.url:
                raise ValueError("needs slug or url")
            return self

    @operation(Identity.USER_ID)
    async def delete_and_suppress_learner(self, learner: Learner) -> Outcome:
        """Forget the learner."""
        return Outcome.ERASED


def row(service: str, operation: str) -> str:
    return f"    - ['RETIRING_{service}', '{service}_COMPLETE', '{service}', '{operation}']\n"


STEP = row("SEGMENT", "delete_and_suppress_learner")


@pytest.fixture
def courier(desk: Desk) -> Desk:
    desk.connectors = registry() | {"SEGMENT": Courier}
    return desk


def test_keys_of_the_scripts_are_settings_of_the_vendor(courier: Desk) -> None:
    """And `base_urls` is its address, with http permitted for all of the file."""
    text = TUBULAR.replace("base_urls:\n", "base_urls:\n    segment: http://s.example.com\n")
    text += STEP + "segment_auth_token: t-1\nsegment_workspace_slug: ours\nallow_insecure: true\n"

    settings = courier.load(text).services["SEGMENT"]

    assert settings == Courier.Settings(
        url="http://s.example.com", token=SecretStr("t-1"), slug="ours", allow_insecure=True
    )


@pytest.mark.parametrize("service", STEPS)
def test_a_step_of_every_vendor_of_the_scripts_loads_with_its_keys(desk: Desk, service: str) -> None:
    """One after the other, with the real connectors."""
    if service not in registry():
        pytest.skip(f"no connector of {service} is installed")
    text = TUBULAR.replace("base_urls:\n", "base_urls:\n    ecommerce: https://ecommerce.example.com\n")

    found = desk.load(text + row(service, STEPS[service]) + KEYS)

    secrets = {"BRAZE": "k-braze", "AMPLITUDE": "k-amplitude", "HUBSPOT": "k-hubspot", "SEGMENT": "t-segment"}
    kept = [value for value in vars(found.services[service]).values() if isinstance(value, SecretStr)]
    assert secrets[service] in [each.get_secret_value() for each in kept]
    assert secrets[service] not in f"{found!r}{describe(found)}"


def test_the_withdrawn_login_of_salesforce_is_told(desk: Desk) -> None:
    """Such a login would fail every night; the new one is written in our dialect."""
    if "SALESFORCE" not in registry():
        pytest.skip("no connector of SALESFORCE is installed")
    text = TUBULAR + row("SALESFORCE", "retire_learner") + "salesforce_user: u\nsalesforce_password: p\n"

    told = [each for each in desk.problems(text) if "salesforce_user" in each or "salesforce_password" in each]

    assert [each.split(":")[1] for each in told] == ["10", "11"]
    assert all("services.SALESFORCE: url, " in each and "client_id" in each for each in told)


def test_a_missing_setting_has_the_name_that_the_scripts_give_it(courier: Desk) -> None:
    """Whether there is another key of the vendor or none; what needs two keys names both."""
    assert courier.problems(TUBULAR + STEP) == ["retirement.yaml:9: segment_auth_token: is missing; give it: Token."]
    assert courier.problems(TUBULAR + STEP + "segment_workspace_slug: x\n") == [
        "retirement.yaml:10: segment_auth_token: is missing; give it: Token."
    ]
    assert courier.problems(TUBULAR + STEP + "segment_auth_token: x\n") == [
        "retirement.yaml:10: segment_auth_token, segment_workspace_slug: needs slug or url"
    ]


def test_a_wrong_value_is_told_at_its_own_key(courier: Desk) -> None:
    """A secret that is not set, and a text of another form."""
    text = TUBULAR + STEP + "segment_auth_token: ${NOT_SET}\nsegment_workspace_slug: O U\n"

    assert courier.problems(text) == [
        "retirement.yaml:10: segment_auth_token: the environment variable NOT_SET is not set; set it",
        "retirement.yaml:11: segment_workspace_slug: has not the form that is due",
    ]


def test_keys_of_a_service_that_no_step_uses_never_stop_a_run(courier: Desk) -> None:
    """Incomplete, they are left out with a warning; complete, they are kept for `config import`."""
    text = TUBULAR + "segment_workspace_slug: ours\n"

    (unsaid, warning) = courier.warnings(text)

    assert unsaid == UNSAID
    assert warning == (
        "retirement.yaml:9: segment_auth_token: is missing; give it: Token; no step uses SEGMENT, so it is left out"
    )
    assert "SEGMENT" not in courier.load(text).services
    assert "SEGMENT" in courier.load(text + "segment_auth_token: ${TOKEN}\n", TOKEN="t").services
    (_, warning) = courier.warnings(TUBULAR + "segment_workspace_slug: ours\nsegment_auth_token: ${TOKEN}\n")
    assert "segment_auth_token: the environment variable TOKEN is not set" in warning


def test_a_misspelt_key_of_a_vendor_is_named(courier: Desk) -> None:
    """It is not taken for one that nobody uses; the missing one is what stops a run."""
    assert courier.warnings(TUBULAR + "segment_auth_tokn: x\n") == [
        UNSAID,
        "retirement.yaml:9: segment_auth_tokn: is no key here, and is not used; did you mean segment_auth_token?",
    ]
    assert courier.problems(TUBULAR + STEP + "segment_auth_tokn: x\n") == [
        "retirement.yaml:9: segment_auth_token: is missing; give it: Token.",
        "retirement.yaml:10: segment_auth_tokn: is no key here, and is not used; did you mean segment_auth_token?",
    ]


def test_an_empty_key_is_as_good_as_none(courier: Desk) -> None:
    """The scripts read it so."""
    text = TUBULAR + "segment_auth_token:\nsegment_workspace_slug: ''\n"

    assert courier.warnings(text) == [UNSAID]
    assert set(courier.load(text).services) == {"LMS", "CREDENTIALS"}


def test_a_withdrawn_key_stops_the_run_where_a_step_uses_the_service(courier: Desk) -> None:
    """With what the vendor wants instead, and where to write it."""
    text = TUBULAR + STEP + "segment_auth_token: x\nsegment_workspace_slug: y\nsegment_user: u\n"

    assert courier.problems(text) == [
        (
            "retirement.yaml:12: segment_user: Segment takes no user any more; it takes a token; "
            "take the SEGMENT step out, convert the file with `retirement config import`, "
            "and put the step back there with services.SEGMENT: url, token, slug, ecommerce_url"
        )
    ]
    assert courier.warnings(text.replace(STEP, "")) == [
        UNSAID,
        (
            "retirement.yaml:11: segment_user: Segment takes no user any more; it takes a token; "
            "no step uses SEGMENT, so it is left out"
        ),
    ]


def test_the_tracking_id_is_asked_of_ecommerce(courier: Desk) -> None:
    """`fetch_ecommerce_segment_id` gives the connector its address, and needs one."""
    keys = STEP + "segment_auth_token: x\nsegment_workspace_slug: y\nfetch_ecommerce_segment_id: OFTEN\n"
    text = TUBULAR.replace("base_urls:\n", "base_urls:\n    ecommerce: https://e.example.com\n") + keys

    settings = courier.load(text.replace("OFTEN", "true")).services["SEGMENT"]

    assert isinstance(settings, Courier.Settings)
    assert settings.ecommerce_url == "https://e.example.com"
    assert vars(courier.load(text.replace("OFTEN", "false")).services["SEGMENT"])["ecommerce_url"] is None
    assert courier.problems((TUBULAR + keys).replace("OFTEN", "true")) == [
        (
            "retirement.yaml:12: fetch_ecommerce_segment_id: needs base_urls.ecommerce, where the id is looked up; "
            "give it, or say false"
        )
    ]
    assert courier.problems(text) == ["retirement.yaml:13: fetch_ecommerce_segment_id: must be true or false"]


def test_every_address_of_a_service_is_checked(courier: Desk) -> None:
    """The one that is not called `url` is sent a token as well."""
    text = TUBULAR.replace("base_urls:\n", "base_urls:\n    ecommerce: http://e.example.com\n") + STEP
    text += "segment_auth_token: x\nsegment_workspace_slug: y\nfetch_ecommerce_segment_id: true\n"

    (problem,) = courier.problems(text)

    assert problem.startswith("retirement.yaml:4: base_urls.ecommerce: is http:// to another machine")


def test_a_converted_file_has_the_same_vendors(courier: Desk) -> None:
    """Their secrets as variables, named by service and setting."""
    text = TUBULAR.replace("base_urls:\n", "base_urls:\n    ecommerce: https://e.example.com\n") + STEP
    text += "segment_auth_token: t-segment\nsegment_workspace_slug: y\nfetch_ecommerce_segment_id: true\n"
    before = courier.load(text)

    converted = as_own_dialect(before)

    assert "token: ${RETIREMENT_SEGMENT_TOKEN}" in converted
    assert "t-segment" not in converted
    environ = ENVIRON | {"RETIREMENT_SEGMENT_TOKEN": "t-segment"}
    after = load(courier.write(converted), environ=environ, connectors=courier.connectors)
    assert (before.services, before.pipeline) == (after.services, after.pipeline)
