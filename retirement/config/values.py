"""The values that a configuration file may give: texts by their form, and the base of every section."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from retirement.config.countries import country

TEXT = r"^\S(?:.*\S)?$"
#: States stand in URLs and logs.
STATE = r"^[\w.-]+$"
#: What stands after the @ of an e-mail address.
DOMAIN = r"^[\w-]+(?:\.[\w-]+)*$"
#: The name of a channel is part of names in Prefect.
CHANNEL = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
#: A block of Prefect by the slug of its type and its own name.
BLOCK = r"^[a-z0-9-]+/[a-z0-9-]+$"
#: An address of a page.
ADDRESS = r"^https?://\S+$"
#: An e-mail address: what has one @ and no space.
MAIL_ADDRESS = r"^[^\s@]+@[^\s@]+$"
#: A schema of PostgreSQL, as it is written without quotes.
SCHEMA = r"^[a-z_][a-z0-9_]*$"

#: In the place of a number: found out by how services answer.
AUTO: Final = "auto"
#: What the context of a validation has the folder of the file under, a `Path`.
FOLDER: Final = "folder"
_SOME = TypeAdapter[int](Annotated[int, Field(ge=1, le=1_000)])


def _some_or_auto(value: Any) -> Any:
    if value == AUTO:
        return AUTO
    if isinstance(value, str) and not value.strip().lstrip("+-").isdecimal():
        raise PydanticCustomError("some_or_auto", "must be a whole number or auto")
    return _SOME.validate_python(value)


def _placed(path: str, info: ValidationInfo) -> str:
    """A path of the file, absolute: it starts at the folder in the context of the validation, where there is one."""
    if not path.isprintable():
        raise PydanticCustomError("no_path", "holds characters that no path has")
    folder = (info.context or {}).get(FOLDER)
    return path if folder is None else str(folder / Path(path).expanduser())


def _placed_unless_url(given: str, info: ValidationInfo) -> str:
    return given if "://" in given else _placed(given, info)


State = Annotated[str, StringConstraints(min_length=1, pattern=STATE)]
Text = Annotated[str, StringConstraints(min_length=1, pattern=TEXT)]
#: A file or folder of this machine; it is absolute once a file is loaded, wherever the program is started.
MachinePath = Annotated[Text, AfterValidator(_placed)]
MachinePathOrUrl = Annotated[Text, AfterValidator(_placed_unless_url)]
Channel = Annotated[str, StringConstraints(pattern=CHANNEL, max_length=40)]
Block = Annotated[str, StringConstraints(pattern=BLOCK)]
Address = Annotated[str, StringConstraints(pattern=ADDRESS)]
Schema = Annotated[str, StringConstraints(pattern=SCHEMA, max_length=63)]
Domain = Annotated[str, StringConstraints(min_length=1, pattern=DOMAIN, to_lower=True)]
Country = Annotated[str, AfterValidator(country)]
Days = Annotated[int, Field(ge=1, le=365)]
AtOnce = Annotated[int | Literal["auto"], PlainValidator(_some_or_auto)]
UserId = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """A section of the file: closed, frozen, and silent about what it was given."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False, validate_default=True
    )
