"""A configuration as plain data and as a file of our own dialect; neither holds a secret."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args

import yaml
from pydantic import BaseModel, SecretStr

from retirement.config import databases
from retirement.config.channels import ChannelSettings
from retirement.config.draft import ROW
from retirement.config.ledger import LedgerSettings
from retirement.config.partners import PartnerSettings
from retirement.config.references import escaped, is_reference
from retirement.config.settings import (
    Configuration,
    DatabaseSettings,
    GeneralSettings,
)
from retirement.pipeline import Pipeline

MASK = "**********"
CLIENT_SECRET = "${RETIREMENT_CLIENT_SECRET}"  # noqa: S105  # the name of a variable, no secret

LEDGER_PASSWORD = "${RETIREMENT_LEDGER_PASSWORD}"  # noqa: S105  # the name of a variable, no secret

DOOR_SECRET = "${RETIREMENT_DOOR_SECRET}"  # noqa: S105  # the name of a variable, no secret

#: Left out, a key means its default, and null is not the default of these.
_NULL_MEANS_OFF = frozenset(
    name
    for name, field in GeneralSettings.model_fields.items()
    if field.default is not None and type(None) in get_args(field.annotation)
)

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
    return _Writer(lambda _: MASK, str).document(configuration)


def as_own_dialect(configuration: Configuration, secret: str = CLIENT_SECRET) -> str:
    """The configuration as YAML of our own dialect, with references in the place of secrets.

    `secret` says where the client's secret is: `${NAME}`, `file:PATH` or `block:NAME`.
    """
    if not is_reference(secret):
        raise ValueError("a secret is written as ${NAME}, file:PATH or block:NAME only")

    def reference(place: tuple[str, ...]) -> str:
        if place[0] == "ledger":
            return LEDGER_PASSWORD
        if place[0] == "door":
            return DOOR_SECRET
        # Connectors' secrets get variables named by their place: RETIREMENT_HUBSPOT_TOKEN.
        return secret if place[0] == "lms" else f"${{RETIREMENT_{_NO_NAME.sub('_', '_'.join(place[1:])).upper()}}}"

    data = _Writer(reference, escaped).document(configuration)
    data["pipeline"] = [_Row(step) for step in data["pipeline"]]
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


@dataclass(frozen=True)
class _Writer:
    """Makes plain data of settings; the two callables decide what stands for a secret and for a text."""

    secret: Secret
    text: Text

    def document(self, configuration: Configuration) -> dict[str, Any]:
        """The whole configuration."""
        data = {
            "lms": self.plain(configuration.lms, "lms"),
            "cool_off_days": configuration.cool_off_days,
            "deadline_days": configuration.deadline_days,
            "deadline_days_by_country": dict(configuration.deadline_days_by_country) or None,
            "lease_seconds": configuration.lease_seconds,
            "ledger": self.ledger(configuration.ledger),
            "queue": self.plain(configuration.queue, "queue"),
            "guard": self.plain(configuration.guard, "guard"),
            "retry": self.plain(configuration.retry, "retry"),
            "breaker": self.plain(configuration.breaker, "breaker"),
            "engine": self.plain(configuration.engine, "engine"),
            "databases": self.databases(configuration.databases),
            "schedule": self.line(configuration.schedule),
            "reconcile_schedule": self.line(configuration.reconcile_schedule),
            "verify_schedule": self.line(configuration.verify_schedule),
            "cleanup_days": configuration.cleanup_days,
            "cleanup_schedule": self.line(configuration.cleanup_schedule),
            "digest_schedule": self.line(configuration.digest_schedule),
            "engine_retention_days": configuration.engine_retention_days,
            "engine_events": configuration.engine_events.value,
            "expire_schedule": self.line(configuration.expire_schedule),
            "expire_texts_schedule": self.line(configuration.expire_texts_schedule),
            "partner_reports": self.line(configuration.partner_reports),
            "username_replacements": self.line(configuration.username_replacements),
            "timezone": self.line(configuration.timezone),
            "ui_url": self.line(configuration.ui_url),
            "partners": self.partners(configuration.partners),
            "archive": configuration.archive and self.plain(configuration.archive, "archive", "archive"),
            "notifications": [self.channel(each) for each in configuration.notifications] or None,
            "door": configuration.door and self.plain(configuration.door, "door"),
            "services": self.services(configuration),
            "pipeline": self.steps(configuration.pipeline),
        }
        return {name: value for name, value in data.items() if value is not None or name in _NULL_MEANS_OFF}

    def plain(self, value: Any, *place: str) -> Any:
        """Settings, or a value in them; `place` says where they stand."""
        if isinstance(value, BaseModel):
            value = _given(value)
        if isinstance(value, dict):
            return {str(name): self.plain(each, *place, str(name)) for name, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.plain(each, *place, str(index)) for index, each in enumerate(value)]
        return self._single(value, place)

    def _single(self, value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, SecretStr):
            return self.secret(place)
        if isinstance(value, Enum):
            return value.value
        return value if isinstance(value, bool | int | float | None) else self.text(str(value))

    def line(self, given: str | None) -> str | None:
        """A text that may be left out."""
        return given and self.text(given)

    def ledger(self, ledger: LedgerSettings) -> dict[str, Any] | None:
        """Of the address only the password is a secret: which database it is, operators want to see."""
        url = ledger.url and self._address(ledger.url.get_secret_value(), "ledger", "url")
        others = {name: value for name, value in _given(ledger).items() if name != "url"}
        data = {"url": url} | self.plain(others, "ledger")
        return {name: value for name, value in data.items() if value not in (None, [])} or None

    def databases(self, stores: DatabaseSettings) -> dict[str, str] | None:
        """As of the ledger's address only the password is a secret."""
        given = stores.given().items()
        return {name: self._address(url, "databases", name, "database", "password") for name, url in given} or None

    def channel(self, channel: ChannelSettings) -> Any:
        """A channel; the variable of its secret is named after it and not after its place in the list."""
        return self.plain(channel, "notifications", channel.name)

    def partners(self, partners: PartnerSettings) -> Any:
        """The section of the partners; the variable of a sink's secret is named after the sink."""
        if partners == PartnerSettings():
            return None
        plain = self.plain(partners.model_copy(update={"sinks": ()}), "partners")
        sinks = [self.plain(each, "partners", each.name) for each in partners.sinks]
        return {name: value for name, value in {**plain, "sinks": sinks}.items() if value not in ([], {})}

    def _address(self, url: str, *place: str) -> str:
        return databases.without_password(url, self.secret(place), self.text)

    def services(self, configuration: Configuration) -> dict[str, Any]:
        """The settings of each service that has any; address and scheme of the LMS stand in its own section."""
        services = {
            name: _connector(configuration, name) | self.plain(settings, "services", name)
            for name, settings in sorted(configuration.services.items())
        }
        for key in ("url", "allow_insecure"):
            services.get("LMS", {}).pop(key, None)
        return {name: settings for name, settings in services.items() if settings}

    def steps(self, pipeline: Pipeline) -> list[dict[str, Any]]:
        """The rows of the pipeline; `after` is left out where it is the row before."""
        rows: list[dict[str, Any]] = []
        previous: tuple[str, ...] = ()
        for step in pipeline:
            row: dict[str, Any] = {name: self.text(getattr(step, name)) for name in ROW}
            if step.after != previous:
                row["after"] = [self.text(name) for name in step.after]
            rows.append(row)
            previous = (step.name,)
        return rows


def _connector(configuration: Configuration, service: str) -> dict[str, str]:
    """Which connector serves a service that is not named after its own."""
    connector = configuration.connectors.get(service)
    return {"connector": connector.service} if connector and connector.service != service else {}


def _given(settings: BaseModel) -> dict[str, Any]:
    """Left out, a setting means its default; in a mapping that a service is sent, null is a value."""
    fields = {info.alias or name: getattr(settings, name) for name, info in type(settings).model_fields.items()}
    return {name: each for name, each in fields.items() if each is not None}
