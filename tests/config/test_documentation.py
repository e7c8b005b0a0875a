"""What the code accepts and what `docs/configuration.md` and the pages made from the code say are the same."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from docs.generate import FOLDER, written
from retirement import config
from retirement.config import (
    BreakerSettings,
    ChannelSettings,
    DatabaseSettings,
    DoorSettings,
    EngineSettings,
    GeneralSettings,
    GuardSettings,
    LedgerSettings,
    LmsSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
    values,
)
from retirement.config.buckets import ArchiveSettings
from retirement.config.partners import KINDS as SINKS
from retirement.config.partners import MailRecipient, PartnerSettings
from retirement.config.values import Settings
from retirement.connectors import Connector, registry

from .desk import ENVIRON, Desk

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
SECTIONS: list[tuple[str, type[BaseModel]]] = [
    ("lms.", LmsSettings),
    ("", GeneralSettings),
    ("ledger.", LedgerSettings),
    ("queue.", QueueSettings),
    ("guard.", GuardSettings),
    ("retry.", RetrySettings),
    ("breaker.", BreakerSettings),
    ("engine.", EngineSettings),
    ("databases.", DatabaseSettings),
    ("notifications[].", ChannelSettings),
    ("door.", DoorSettings),
    ("pipeline[].", StepSettings),
    ("archive.", ArchiveSettings),
    ("partners.", PartnerSettings),
    *(("partners.sinks[].", kind) for kind in SINKS.values()),
    ("partners.sinks[].recipients.PARTNER.", MailRecipient),
]
KINDS = {
    "], dict[": "mapping of mappings",
    "Action": "mapping of lists of texts",
    "MailRecipient": "mapping of recipients",
    "], tuple[": "mapping of lists",
    "tuple[typing.Annotated[int": "list of whole numbers",
    "FolderSettings": "list of sinks",
    "tuple": "list of texts",
    "Literal['auto']": "whole number or text",
    "dict": "mapping of whole numbers",
    "SecretStr": "secret",
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "Forum": "text",
    "Moves": "text",
    "EngineEvents": "text",
    "Literal": "text",
}


def row(prefix: str, name: str, field: FieldInfo) -> str:
    """One line of the table of keys."""
    kind = next((word for part, word in KINDS.items() if part in str(field.annotation)), "")
    assert kind, f"{prefix}{name}: what does the page call {field.annotation}? Put it into KINDS"
    value = field.get_default(call_default_factory=True)
    default = (
        "none"
        if value is None or value == () or value == {}
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )
    default = f"`[{', '.join(value)}]`" if isinstance(value, tuple) and value else default
    default = "*required*" if field.is_required() else default
    return f"| `{prefix}{name}` | {kind} | {default} | {field.description} |"


@pytest.mark.parametrize(("prefix", "model"), SECTIONS)
def test_every_setting_is_documented(prefix: str, model: type[BaseModel]) -> None:
    """With its type, its default and its description, word for word."""
    for name, field in model.model_fields.items():
        assert field.description
        assert row(prefix, name, field) in DOCUMENT


def test_every_section_is_in_the_list() -> None:
    """A new class of settings is found by itself."""
    modules = [import_module(each.name) for each in iter_modules(config.__path__, f"{config.__name__}.")]
    written = {kind for each in modules for kind in vars(each).values() if isinstance(kind, type)}
    sections = {kind for kind in written if issubclass(kind, Settings) and not kind.__subclasses__()}

    assert sections == {model for _, model in SECTIONS}


@pytest.mark.parametrize(("prefix", "model"), SECTIONS)
def test_every_path_of_this_machine_starts_at_the_folder_of_the_file(prefix: str, model: type[BaseModel]) -> None:
    """By its type, wherever the program is started; what it is, its description says."""
    for name, field in model.model_fields.items():
        is_one = str(field.description).startswith(("File ", "Files ", "Folder for "))
        placed = AfterValidator(values._placed)
        assert not is_one or str(placed) in str(field.rebuild_annotation()), f"{prefix}{name}: make it a MachinePath"


@pytest.mark.parametrize("connector", registry().values())
def test_every_setting_of_a_service_is_in_the_reference(connector: type[Connector]) -> None:
    """In the section of the service, with its description; so are the reference's keys for it."""
    section = written()[FOLDER / "services.md"].partition(f"## {connector.service}\n")[2].partition("\n## ")[0]

    for name, field in connector.Settings.model_fields.items():
        assert field.description
        assert f"| `{name}` | " in section
        assert " ".join(field.description.split()) in section
    assert all(f"`{theirs}` is `{ours}`" in section for theirs, ours in connector.reference_keys.items())


def test_every_operation_is_named() -> None:
    """An operator finds in the reference what a step may do, and the way there in the document."""
    page = written()[FOLDER / "operations.md"]

    for name, connector in registry().items():
        for operation in connector.operations().values():
            assert f"| `{name}` | `{operation.name}` | {operation.doc} |" in page
    assert "reference/operations.md" in DOCUMENT
    assert "reference/services.md" in DOCUMENT


def test_the_configuration_in_the_document_loads(desk: Desk) -> None:
    """The first one, which people copy, and the ledger's below it."""
    sample = DOCUMENT.partition("```yaml\n")[2].partition("```")[0]

    assert (desk.load(sample).dialect, len(desk.load(sample).pipeline)) == ("own", 3)
    ledger = DOCUMENT.partition("## The ledger")[2].partition("```yaml\n")[2].partition("```")[0]
    assert desk.load(sample + ledger, RETIREMENT_LEDGER_PASSWORD="p").ledger.anchor == "/mnt/anchor/head"
    channels = DOCUMENT.partition("## Notifications")[2].partition("```yaml\n")[2].partition("```")[0]
    for name in ("privacy", "officer"):
        (desk.folder / f"{name}-mail.url").write_text("mailto://mail.example.com")
    found = desk.load(sample + channels, ONCALL_URL="json://example.com").notifications
    assert [each.name for each in found] == ["oncall", "privacy", "officer", "team"]
    assert "RETIREMENT_CLIENT_SECRET" in sample
    assert ENVIRON.keys() == {"RETIREMENT_CLIENT_SECRET"}
