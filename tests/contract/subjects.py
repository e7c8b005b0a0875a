"""What the suite is run on: every operation of every installed connector, found and never listed.

A service of Open edX has its name as an application of the sandbox; a vendor's module says by itself which
connector a configuration would use for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from retirement.connectors import Connector, Operation, registry
from retirement.sandbox import Sandbox
from retirement.sandbox.vendors import VENDORS
from retirement.sandbox.vendors.vendor import Vendor


@dataclass(frozen=True, eq=False)
class Subject:
    """One operation of one connector, and the application of the sandbox that it talks to."""

    service: str
    kind: type[Connector]
    operation: str
    #: None: nothing in the sandbox stands for the service.
    app: str | None

    @property
    def name(self) -> str:
        return f"{self.service} {self.operation}"

    @property
    def section(self) -> dict[str, Any]:
        """The settings that point the connector at the sandbox."""
        if vendor := _vendor_of(self.app):
            section = vendor.settings(url_of(vendor.name), _urls())
            return {key: value for key, value in section.items() if key != "connector"}
        if self.app:
            return {"url": url_of(self.app)}
        return {name: _sample(field) for name, field in self.kind.Settings.model_fields.items() if field.is_required()}

    @property
    def declared(self) -> Operation:
        """The policy of the operation with these settings."""
        settings = self.kind.Settings(**self.section)
        return self.kind.declared(settings).get(self.operation) or self.kind.operations()[self.operation]


def subjects() -> list[Subject]:
    """All of them, by service and name."""
    return [
        Subject(service, kind, operation, app_of(service))
        for service, kind in registry().items()
        for operation in kind.operations()
    ]


def app_of(connector: str) -> str | None:
    """The application that stands for what a connector talks to."""
    for vendor in VENDORS.values():
        if connector in (vendor.service, _connector_of(vendor)):
            return vendor.name
    app = connector.lower()
    return app if app in _urls() else None


def url_of(app: str) -> str:
    """Where an application answers without sockets."""
    return f"http://{app}.sandbox"


def secrets_in(settings: BaseModel) -> list[str]:
    """Every secret of a service's settings, those of its sections included."""
    found = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif isinstance(value, BaseModel):
            found += secrets_in(value)
    return [secret for secret in found if secret]


def _vendor_of(app: str | None) -> Vendor | None:
    return VENDORS.get(app) if app else None


def _connector_of(vendor: Vendor) -> str | None:
    """A service of another name says in its settings which connector serves it."""
    connector: str | None = vendor.settings(url_of(vendor.name), _urls()).get("connector")
    return connector


@cache
def _urls() -> Mapping[str, str]:
    return {app: url_of(app) for app in Sandbox().apps}


def _sample(field: FieldInfo) -> Any:
    """A value for a setting of a connector that talks to nothing here."""
    return 1 if field.annotation is int else "What this setting says in a whole sentence"
