"""A configuration shown and converted: the same meaning, and never a secret."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field, SecretStr

from retirement.config import Configuration, DoorSettings, as_own_dialect, describe, load
from retirement.config.dialects.own import KEYS
from retirement.config.ledger import LedgerSettings
from retirement.config.settings import GeneralSettings, LmsSettings
from retirement.connectors import Connector, Identity, Outcome, ServiceSettings, operation, registry
from retirement.learner import Learner

from .desk import ANSIBLE, ENROLLMENTS, ENVIRON, LMS, OWN, SECRET, TUBULAR, Desk, pipeline

EVERY_SECTION = """ledger: {text_days: 400}
databases: {lms: mysql://reader:x@lms.example.com/edxapp}
notifications: [{name: oncall, block: slack-webhook/oncall}]
partners: {platform: campus}
door: {url: https://door.example.com, issuer: https://sso.example.com, client_id: door, administrators: [ada]}
archive: {bucket: names, expire_days: 365}
"""


class Postbox(Connector):
    """A service of a third party whose settings hold secrets at every depth."""

    service = "POSTBOX"

    class Settings(ServiceSettings):
        url: str = "https://postbox.example.com"
        token: SecretStr
        keys: dict[str, SecretStr] = Field(default_factory=dict)
        labels: tuple[str, ...] = ()
        note: str | None = None

    @operation(Identity.EMAIL)
    async def forget(self, learner: Learner) -> Outcome:
        """Forget the address."""
        return Outcome.ERASED


POSTBOX = "{start: RETIRING_POST, end: POST_COMPLETE, service: POSTBOX, operation: forget}"


def with_postbox(desk: Desk, text: str) -> Configuration:
    environ = ENVIRON | {"RETIREMENT_POSTBOX_TOKEN": SECRET, "RETIREMENT_POSTBOX_KEYS_A": SECRET}
    return load(desk.write(text), environ=environ, connectors=registry() | {"POSTBOX": Postbox})


def test_a_description_is_plain_data_in_our_own_dialect(desk: Desk) -> None:
    """Whatever dialect the file has; the secret is masked."""
    shown = describe(desk.load(TUBULAR))

    assert shown["lms"] == {
        "url": "https://courses.example.com/",
        "client_id": "retirement-worker",
        "client_secret": "**********",
        "allow_insecure": False,
        "moves": "each",
    }
    assert shown["services"]["LMS"] == {"forum": "auto", "unenroll_version": 1}
    assert list(shown) == [
        *("lms", "cool_off_days", "deadline_days", "lease_seconds"),
        *("queue", "guard", "retry", "breaker", "engine", "reconcile_schedule", "verify_schedule", "cleanup_days"),
        "engine_retention_days",
        "engine_events",
        *("services", "pipeline"),
    ]
    assert shown == yaml.safe_load(yaml.safe_dump(shown))


def test_every_key_of_the_top_level_is_written(desk: Desk) -> None:
    """Also one that usually has no value: `config import` would lose it."""
    found = desk.load(OWN + EVERY_SECTION)
    unset = {name: getattr(found, name) for name in GeneralSettings.model_fields}
    given: dict[str, Any] = {name: "x" for name, value in unset.items() if value is None}

    shown = describe(replace(found, **given, deadline_days_by_country={"NO": 20}))

    assert set(KEYS) - set(shown) == set()


@pytest.mark.parametrize("text", [OWN, TUBULAR, ANSIBLE + "RETIREMENT_SERVICE_ENABLE_CRON_JOB: true\n"])
def test_a_converted_file_means_the_same(desk: Desk, text: str) -> None:
    """`config import`: what one reads, the other reads too."""
    before = desk.load(text)

    converted = as_own_dialect(before)
    after = desk.load(converted)

    assert ("own", before.pipeline, before.services) == (after.dialect, after.pipeline, after.services)
    assert describe(before) == describe(after)
    assert SECRET not in converted


@pytest.mark.parametrize("given", [None, "30 * * * *"])
def test_a_reconciler_that_is_switched_off_stays_off(desk: Desk, given: str | None) -> None:
    """Left out it would be on again: the default is a schedule, and null is not."""
    before = desk.load(OWN + f"reconcile_schedule: {given or 'null'}\n")

    after = desk.load(as_own_dialect(before))

    assert describe(before)["reconcile_schedule"] == given
    assert (before.reconcile_schedule, after.reconcile_schedule) == (given, given)


def test_after_is_written_where_it_differs_from_the_line(desk: Desk) -> None:
    """So that a converted line stays readable."""
    free = "{start: RETIRING_NOTES, end: NOTES_COMPLETE, service: LMS, operation: retirement_retire_notes, after: []}"

    rows = describe(desk.load(LMS + pipeline(ENROLLMENTS, free)))["pipeline"]

    assert [row.get("after") for row in rows] == [None, []]


def test_lms_ledger_and_door_have_one_secret_each() -> None:
    """`as_own_dialect` writes one reference for each; a second secret would get that of the first."""
    kinds = {"lms": LmsSettings, "ledger": LedgerSettings, "door": DoorSettings}
    secrets = {
        section: [name for name, field in kind.model_fields.items() if "SecretStr" in str(field.annotation)]
        for section, kind in kinds.items()
    }

    assert secrets == {"lms": ["client_secret"], "ledger": ["url"], "door": ["client_secret"]}


def test_what_null_switches_off_is_written_as_null(desk: Desk) -> None:
    """Left out, `config import` would switch it on again."""
    configuration = desk.load(OWN + "reconcile_schedule: null\nverify_schedule: null\nengine_retention_days: null\n")

    again = desk.load(as_own_dialect(configuration))

    assert (again.reconcile_schedule, again.verify_schedule, again.engine_retention_days) == (None, None, None)


def test_a_converted_secret_is_a_reference_of_the_callers_choice(desk: Desk) -> None:
    """Nothing but a reference is accepted."""
    found = desk.load(OWN)

    assert "client_secret: block:lms-secret\n" in as_own_dialect(found, "block:lms-secret")
    with pytest.raises(ValueError, match="file:PATH") as caught:
        as_own_dialect(found, SECRET)
    assert SECRET not in str(caught.value)


def test_text_that_looks_like_a_reference_survives(desk: Desk) -> None:
    """It is doubled again on the way out."""
    text = OWN.replace("retirement-worker", "a$${B}")

    assert desk.load(as_own_dialect(desk.load(text))).lms.client_id == "a${B}"


def test_secrets_of_connectors_become_variables_too(desk: Desk) -> None:
    """Named after service and key, at any depth."""
    services = f"services: {{POSTBOX: {{token: '{SECRET}', keys: {{a: '{SECRET}'}}, labels: [x, 'y']}}}}\n"

    found = with_postbox(desk, LMS + services + pipeline(POSTBOX))
    converted = as_own_dialect(found)

    assert SECRET not in f"{found!r}{describe(found)}{converted}"
    assert "token: ${RETIREMENT_POSTBOX_TOKEN}" in converted
    assert "a: ${RETIREMENT_POSTBOX_KEYS_A}" in converted
    assert found.services == with_postbox(desk, converted).services


def test_a_connector_whose_settings_are_all_given_needs_no_entry(desk: Desk, tmp_path: Path) -> None:
    """What has no default is asked for at the step."""

    class Open(Postbox):
        class Settings(ServiceSettings):
            url: str = "https://postbox.example.com"

    path = desk.write(LMS + pipeline(POSTBOX))

    found = load(path, environ=ENVIRON, connectors=registry() | {"POSTBOX": Open})

    assert found.services["POSTBOX"].url == "https://postbox.example.com"
    assert {"POSTBOX": Open} == found.connectors
