"""The settings of Salesforce: two ways to sign in, two modes, and the login that was withdrawn."""

from __future__ import annotations

from typing import Any

import pytest

from retirement.connectors.salesforce import Salesforce, SalesforceSettings
from retirement.sandbox.vendors import salesforce_sign_in


def settings(**given: Any) -> SalesforceSettings:
    """Settings as a file would have them, but for what is given."""
    sound = {
        "url": "https://acme.my.salesforce.com",
        "client_id": "i",
        "client_secret": "s",
        "mode": "delete",
        "delete_at_most": 2,
    }
    return SalesforceSettings(**{key: value for key, value in (sound | given).items() if value is not None})


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ({"client_secret": None}, "client_secret"),
        ({"private_key": "x"}, "either"),
        ({"username": "u"}, "together"),
        ({"client_secret": None, "private_key": "no key", "username": "u"}, "PEM"),
        ({"url": "https://login.salesforce.com"}, "My Domain"),
        ({"mode": "task"}, "assignee"),
        ({"api_version": "v66"}, "api_version"),
        ({"salesforce_user": "u"}, "salesforce_user"),
    ],
)
def test_bad_settings_say_what_to_do(wrong: dict[str, Any], fix: str) -> None:
    """And show no secret."""
    with pytest.raises(ValueError, match=fix) as caught:
        settings(**wrong)
    assert "no key" not in str(caught.value)


def test_secrets_are_masked() -> None:
    """In whatever prints settings."""
    key = salesforce_sign_in.private_key()
    shown = repr(settings(client_secret="hush")) + repr(settings(client_secret=None, private_key=key, username="u"))

    assert "hush" not in shown
    assert key.splitlines()[1] not in shown


def test_keys_of_the_withdrawn_login_say_what_came_instead() -> None:
    """The reference's file has them; no setting takes them."""
    assert {"salesforce_user", "salesforce_password", "salesforce_token", "salesforce_domain"} == {
        *Salesforce.withdrawn_keys
    }
    assert Salesforce.reference_keys == {"salesforce_assignee": "assignee"}
