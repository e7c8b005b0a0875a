"""From positioned values to typed settings: unknown keys, missing ones and wrong types, each with its line."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from retirement.config.document import Node
from retirement.config.draft import Draft
from retirement.config.problems import Problems, close_to, nearest, shown
from retirement.config.references import References
from retirement.config.values import ADDRESS, BLOCK, CHANNEL, DOMAIN, FOLDER, MAIL_ADDRESS, SCHEMA, STATE, TEXT

Model = TypeVar("Model", bound=BaseModel)
#: Told the values of a section, says what is wrong with one of them.
Check = Callable[[Mapping[str, Any]], str | None]

_UNRESOLVED = object()

_SHAPES = {
    TEXT: "must be one line without space at its ends",
    DOMAIN: "is no domain; write what stands after the @, such as example.com",
    STATE: "is no name of a state; use letters, digits and `_`",
    CHANNEL: "is no name of a channel; use small letters, digits and single `-`",
    BLOCK: "is no notification block; write TYPE/NAME, such as slack-webhook/oncall",
    MAIL_ADDRESS: "is no e-mail address, such as dpo@example.com",
    SCHEMA: "is no name of a schema; use small letters, digits and `_`",
    ADDRESS: "is no address of a page; it begins with https:// or http://",
}

_PLAIN_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_type": lambda _: "must be text",
    "string_too_short": lambda _: "is empty; give a value",
    "string_too_long": lambda limit: f"has more than {limit['max_length']} characters; shorten it",
    "string_pattern_mismatch": lambda given: _SHAPES.get(given["pattern"], "has not the form that is due"),
    "int_type": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "float_parsing": lambda _: "must be a number",
    "finite_number": lambda _: "must be a number",
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "dict_type": lambda _: "must be a mapping of keys and values",
    "tuple_type": lambda _: "must be a list, such as [A, B]",
    "list_type": lambda _: "must be a list, such as [A, B]",
    "greater_than_equal": lambda limit: f"must be at least {limit['ge']:g}",
    "less_than_equal": lambda limit: f"must be at most {limit['le']:g}",
    "enum": lambda options: f"must be one of {options['expected']}",
    "literal_error": lambda options: f"must be one of {options['expected']}",
}


#: Types of error that name the values which would be right.
_OF_OPTIONS = ("enum", "literal_error")


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of the file: where it stands, what our dialect calls it, and its settings by key."""

    node: Node
    path: str
    fields: Mapping[str, FieldInfo]


class Sections:
    """Reads the sections of one draft."""

    def __init__(self, draft: Draft, references: References, problems: Problems) -> None:
        self._draft = draft
        self._references = references
        self._problems = problems
        #: That of the file, at which the paths in it start.
        self.folder = Path(problems.source).absolute().parent
        self._readers: Mapping[type, Callable[[Node, set[Any]], Any]] = {
            list: self._list,
            dict: self._mapping,
            bool: self._boolean,
            int: self._number,
            float: self._number,
            str: self._text,
        }

    def read(
        self, model: type[Model], node: Node, path: str, checks: Mapping[str, Check] = MappingProxyType({})
    ) -> Model | None:
        """The section as this model; None where `problems` says why not. `path` is what our dialect calls it.

        `checks` say what else is wrong with a text, whether or not the rest of the section is right.
        """
        if problem := node.unlike(dict, "must be a mapping of keys and values"):
            self._problems.add(node.line, node.key, problem)
            return None
        section = _Section(node, path, fields_of(model))
        values = self._values(section)
        self._check(node, values, checks)
        resolved = {name: value for name, value in values.items() if value is not _UNRESOLVED}
        try:
            read = model.model_validate(resolved, context={FOLDER: self.folder})
        except ValidationError as error:
            self._tell_all(error, section, values.keys() - resolved.keys())
            return None
        return read if len(resolved) == len(values) else None

    def _values(self, section: _Section) -> dict[str, Any]:
        """What the section gives, by key; `_UNRESOLVED` where `problems` says what is wrong with it."""
        fields = section.fields
        for name, child in section.node.entries.items():
            if name not in fields:
                self._problems.add(child.line, child.key, f"is no key here{nearest(shown(name), fields)}")
        known = {name: child for name, child in section.node.entries.items() if name in fields}
        return {name: self._value(child, fields[name]) for name, child in known.items()}

    def _check(self, node: Node, values: dict[str, Any], checks: Mapping[str, Check]) -> None:
        """Puts `_UNRESOLVED` in the place of texts with which a check finds something wrong."""
        for name in checks.keys() & values.keys():
            if isinstance(values[name], str) and values[name] and (text := checks[name](values)):
                self._problems.add(node.at((name,)).line, node.at((name,)).key, text)
                values[name] = _UNRESOLVED

    def _tell_all(self, error: ValidationError, section: _Section, unresolved: Collection[str]) -> None:
        """Tells each error, but those about settings of which `problems` has said already what is wrong."""
        for detail in error.errors(include_url=False, include_input=False):
            if not set(unresolved) & set(detail["loc"][:1]):
                self._tell(detail, section)

    def _tell(self, detail: ErrorDetails, section: _Section) -> None:
        if detail["type"] == "missing" and len(detail["loc"]) == 1:
            self._tell_missing(str(detail["loc"][0]), section)
            return
        place = section.node.at(detail["loc"])
        text = f"{self._plain_words(detail)}{_hint(detail, place)}"
        self._problems.add(place.line, place.key or section.path or "file", text)

    def _tell_missing(self, name: str, section: _Section) -> None:
        node, path = section.node, section.path
        ours = f"{path}.{name}" if path else name
        theirs = self._draft.named(ours)
        ours_too = node.key == "file" or path.startswith("services.")
        key = theirs if theirs != ours or ours_too else f"{node.key}.{name}"
        self._problems.add(node.line, key, f"is missing; give it: {section.fields[name].description or name}")

    def _plain_words(self, detail: ErrorDetails) -> str:
        words = _PLAIN_WORDS.get(detail["type"])
        return words(detail.get("ctx", {})) if words else self._redacted(detail["msg"])

    def _redacted(self, text: str) -> str:
        for secret in self._references.secrets:
            text = text.replace(secret, "**********")
        return " ".join(text.removeprefix("Value error, ").split())

    def _value(self, node: Node, field: FieldInfo) -> Any:
        kinds = set(_kinds(field.annotation))
        value = self._resolved(node, kinds)
        if value is None and type(None) not in kinds:
            self._problems.add(node.line, node.key, "has no value; give one or remove the key")
            return _UNRESOLVED
        return value

    def _resolved(self, node: Node, kinds: set[Any]) -> Any:
        """The value itself, with its references resolved; None where the file gives none."""
        if node.unusable:
            self._problems.add(node.line, node.key, node.unusable)
            return _UNRESOLVED
        reader = self._readers.get(type(node.data))
        return reader(node, kinds) if reader else None

    def _list(self, node: Node, kinds: set[Any]) -> Any:
        values = [self._resolved(each, kinds) for each in node.items]
        return _UNRESOLVED if _is_any_unresolved(values) else values

    def _mapping(self, node: Node, kinds: set[Any]) -> Any:
        values = {name: self._resolved(each, kinds) for name, each in node.entries.items()}
        return _UNRESOLVED if _is_any_unresolved(values.values()) else values

    def _text(self, node: Node, kinds: set[Any]) -> Any:
        resolve = self._references.secret if SecretStr in kinds else self._references.text
        found = resolve(node, str(node.data))
        return _UNRESOLVED if found is None else found

    def _number(self, node: Node, kinds: set[Any]) -> Any:
        # What looks like a number is text all the same where text is due: a client id of digits.
        if not kinds & {int, float, Any} and not _has_model(kinds):
            return node.text
        if node.odd:
            self._problems.add(node.line, node.key, node.odd)
            return _UNRESOLVED
        return node.data

    def _boolean(self, node: Node, kinds: set[Any]) -> Any:
        if bool not in kinds and kinds & {int, float}:
            self._problems.add(node.line, node.key, "must be a number, not true or false")
            return _UNRESOLVED
        return node.data


def _hint(detail: ErrorDetails, place: Node) -> str:
    """Which of the values that would be right a misspelt one is close to."""
    if detail["type"] not in _OF_OPTIONS or not isinstance(place.data, str):
        return ""
    options = [each.strip("'") for each in detail["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    return close_to(shown(place.data), options)


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The settings of a section by the key that the file has for them."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _has_model(kinds: set[Any]) -> bool:
    """Whether a value is read by a model of its own, which knows where numbers are due."""
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)


def _is_any_unresolved(values: Iterable[Any]) -> bool:
    return any(value is _UNRESOLVED for value in values)


def _kinds(annotation: Any) -> list[Any]:
    """Every type that an annotation names: of `tuple[str, ...] | None` tuple, str and None."""
    arguments = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    inner = [kind for argument in arguments for kind in _kinds(argument)]
    return [annotation, *inner]
