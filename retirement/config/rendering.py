"""A configuration as plain data and as a file of our own dialect; neither holds a secret."""

import re
from collections.abc import Callable
from enum import Enum
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from retirement.config import databases
from retirement.config.references import escaped, is_reference
from retirement.config.settings import Configuration, DatabaseSettings, LedgerSettings
from retirement.pipeline import Pipeline

MASK = "**********"
CLIENT_SECRET = "${RETIREMENT_CLIENT_SECRET}"  # noqa: S105  # the name of a variable, no secret

LEDGER_PASSWORD = "${RETIREMENT_LEDGER_PASSWORD}"  # noqa: S105  # the name of a variable, no secret

#: Left out, a key means its default, and null is not the default of these.
_NULL_MEANS_OFF = ("reconcile_schedule", "verify_schedule")

#: What names of variables do not have.
_NO_NAME = re.compile(r"[^A-Za-z0-9_]")

#: What to write for the secret at this place, and for any other text.
Secret = Callable[[tuple[str, ...]], str]
Text = Callable[[str], str]


class _Row(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Row, lambda dumper, row: dumper.represent_mapping("tag:yaml.org,2002:map", row.items(), flow_style=True)
)


def describe(configuration: Configuration) -> dict[str, Any]:
    """The configuration in the shape of our own dialect, secrets masked."""
    return _document(configuration, lambda _: MASK, str)


def as_own_dialect(configuration: Configuration, secret: str = CLIENT_SECRET) -> str:
    """The configuration as YAML of our own dialect, with references in the place of secrets.

    `secret` says where the client's secret is: `${NAME}`, `file:PATH` or `block:NAME`.
    """
    if not is_reference(secret):
        raise ValueError("a secret is written as ${NAME}, file:PATH or block:NAME only")

    def reference(place: tuple[str, ...]) -> str:
        if place[0] == "ledger":
            return LEDGER_PASSWORD
        # Connectors' secrets get variables named by their place: RETIREMENT_HUBSPOT_TOKEN.
        return secret if place[0] == "lms" else f"${{RETIREMENT_{_NO_NAME.sub('_', '_'.join(place[1:])).upper()}}}"

    data = _document(configuration, reference, escaped)
    data["pipeline"] = [_Row(step) for step in data["pipeline"]]
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _document(configuration: Configuration, secret: Secret, text: Text) -> dict[str, Any]:
    def plain(value: Any, *place: str) -> Any:
        return _plain(value, place, secret, text)

    services = {
        name: _connector(configuration, name) | plain(settings, "services", name)
        for name, settings in sorted(configuration.services.items())
    }
    for key in ("url", "allow_insecure"):
        services.get("LMS", {}).pop(key, None)
    data = {
        "lms": plain(configuration.lms, "lms"),
        "cool_off_days": configuration.cool_off_days,
        "deadline_days": configuration.deadline_days,
        "deadline_days_by_country": dict(configuration.deadline_days_by_country) or None,
        "lease_seconds": configuration.lease_seconds,
        "ledger": _ledger(configuration.ledger, secret, text) or None,
        "queue": plain(configuration.queue, "queue"),
        "guard": plain(configuration.guard, "guard"),
        "retry": plain(configuration.retry, "retry"),
        "breaker": plain(configuration.breaker, "breaker"),
        "databases": _databases(configuration.databases, secret, text) or None,
        "schedule": configuration.schedule and text(configuration.schedule),
        "reconcile_schedule": configuration.reconcile_schedule and text(configuration.reconcile_schedule),
        "verify_schedule": configuration.verify_schedule and text(configuration.verify_schedule),
        "archive_days": configuration.archive_days,
        "archive_schedule": configuration.archive_schedule and text(configuration.archive_schedule),
        "services": {name: settings for name, settings in services.items() if settings},
        "pipeline": _steps(configuration.pipeline, text),
    }
    return {name: value for name, value in data.items() if value is not None or name in _NULL_MEANS_OFF}


def _ledger(ledger: LedgerSettings, secret: Secret, text: Text) -> dict[str, Any]:
    """Of the address only the password is a secret: which database it is, operators want to see."""
    url = ledger.url and databases.without_password(ledger.url.get_secret_value(), secret(("ledger", "url")), text)
    places = {name: path and text(path) for name, path in (("anchor", ledger.anchor), ("key", ledger.key))}
    return {name: value for name, value in {"url": url, **places}.items() if value is not None}


def _connector(configuration: Configuration, service: str) -> dict[str, str]:
    """Which connector serves a service that is not named after its own."""
    connector = configuration.connectors.get(service)
    return {"connector": connector.service} if connector and connector.service != service else {}


def _databases(stores: DatabaseSettings, secret: Secret, text: Text) -> dict[str, str]:
    """As of the ledger's address only the password is a secret."""
    place = {name: ("databases", name, "database", "password") for name in stores.given()}
    return {name: databases.without_password(url, secret(place[name]), text) for name, url in stores.given().items()}


def _plain(value: Any, place: tuple[str, ...], secret: Secret, text: Text) -> Any:
    if isinstance(value, SecretStr):
        return secret(place)
    if isinstance(value, BaseModel):
        # Left out, a setting means its default; in a mapping that a service is sent, null is a value.
        fields = {info.alias or name: getattr(value, name) for name, info in type(value).model_fields.items()}
        value = {name: each for name, each in fields.items() if each is not None}
    if isinstance(value, dict):
        return {str(name): _plain(each, (*place, str(name)), secret, text) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, (*place, str(index)), secret, text) for index, each in enumerate(value)]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, bool | int | float | None) else text(str(value))


def _steps(pipeline: Pipeline, text: Text) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    previous: tuple[str, ...] = ()
    for step in pipeline:
        row: dict[str, Any] = {name: text(getattr(step, name)) for name in ("start", "end", "service", "operation")}
        if step.after != previous:
            row["after"] = [text(name) for name in step.after]
        rows.append(row)
        previous = (step.name,)
    return rows
