"""From positioned values to typed settings: unknown keys, missing ones and wrong types, each with its line."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from retirement.config.document import Node
from retirement.config.draft import Draft
from retirement.config.problems import Problems, close_to, nearest, shown
from retirement.config.references import References
from retirement.config.settings import DOMAIN, STATE, TEXT

Model = TypeVar("Model", bound=BaseModel)
#: Told the values of a section, says what is wrong with one of them.
Check = Callable[[Mapping[str, Any]], str | None]

_UNRESOLVED = object()

_SHAPES = {
    TEXT: "must be one line without space at its ends",
    DOMAIN: "is no domain; write what stands after the @, such as example.com",
    STATE: "is no name of a state; use letters, digits and `_`",
}

_PLAIN_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "string_type": lambda _: "must be text",
    "string_too_short": lambda _: "is empty; give a value",
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


class Sections:
    """Reads the sections of one draft."""

    def __init__(self, draft: Draft, references: References, problems: Problems) -> None:
        self._draft = draft
        self._references = references
        self._problems = problems

    def read(
        self, model: type[Model], node: Node, path: str, checks: Mapping[str, Check] = MappingProxyType({})
    ) -> Model | None:
        """The section as this model; None where `problems` says why not. `path` is what our dialect calls it.

        `checks` say what else is wrong with a text, whether or not the rest of the section is right.
        """
        if node.unusable or not isinstance(node.data, dict | None):
            self._problems.add(node.line, node.key, node.unusable or "must be a mapping of keys and values")
            return None
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        values: dict[str, Any] = {}
        for name, child in node.entries.items():
            if name in fields:
                values[name] = self._value(child, fields[name])
            else:
                self._problems.add(child.line, child.key, f"is no key here{nearest(shown(name), fields)}")
        for name in checks.keys() & values.keys():
            if isinstance(values[name], str) and values[name] and (text := checks[name](values)):
                self._problems.add(node.at((name,)).line, node.at((name,)).key, text)
                values[name] = _UNRESOLVED
        unresolved = {name for name, value in values.items() if value is _UNRESOLVED}
        try:
            read = model.model_validate({name: values[name] for name in values.keys() - unresolved})
            return None if unresolved else read
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                if detail["loc"][:1] not in {(name,) for name in unresolved}:
                    self._tell(detail, node, path, fields)
            return None

    def _tell(self, detail: ErrorDetails, node: Node, path: str, fields: Mapping[str, FieldInfo]) -> None:
        place = node.at(detail["loc"])
        if detail["type"] == "missing" and len(detail["loc"]) == 1:
            name = str(detail["loc"][0])
            ours = f"{path}.{name}" if path else name
            theirs = self._draft.named(ours)
            ours_too = node.key == "file" or path.startswith("services.")
            key = theirs if theirs != ours or ours_too else f"{node.key}.{name}"
            self._problems.add(node.line, key, f"is missing; give it: {fields[name].description or name}")
            return
        words = _PLAIN_WORDS.get(detail["type"])
        text = words(detail.get("ctx", {})) if words else self._redacted(detail["msg"])
        hint = ""
        if detail["type"] in ("enum", "literal_error") and isinstance(place.data, str):
            options = [each.strip("'") for each in detail["ctx"]["expected"].replace(" or ", ", ").split(", ")]
            hint = close_to(shown(place.data), options)
        self._problems.add(place.line, place.key or path or "file", f"{text}{hint}")

    def _redacted(self, text: str) -> str:
        for secret in self._references.secrets:
            text = text.replace(secret, "**********")
        return " ".join(text.removeprefix("Value error, ").split())

    def _value(self, node: Node, field: FieldInfo) -> Any:
        kinds = set(_kinds(field.annotation))
        value = self._plain(node, kinds)
        if value is None and type(None) not in kinds:
            self._problems.add(node.line, node.key, "has no value; give one or remove the key")
            return _UNRESOLVED
        return value

    def _plain(self, node: Node, kinds: set[Any]) -> Any:
        if node.unusable:
            self._problems.add(node.line, node.key, node.unusable)
            return _UNRESOLVED
        if isinstance(node.data, list):
            return _whole([self._plain(each, kinds) for each in node.data])
        if isinstance(node.data, dict):
            values = {name: self._plain(each, kinds) for name, each in node.data.items()}
            return values if _whole(list(values.values())) is not _UNRESOLVED else _UNRESOLVED
        if isinstance(node.data, bool):
            return self._boolean(node, node.data, kinds)
        if isinstance(node.data, int | float):
            # What looks like a number is text all the same where text is due: a client id of digits.
            return node.data if kinds & {int, float, Any} or _has_model(kinds) else node.text
        if isinstance(node.data, str):
            resolve = self._references.secret if SecretStr in kinds else self._references.text
            found = resolve(node, node.data)
            return _UNRESOLVED if found is None else found
        return None

    def _boolean(self, node: Node, data: bool, kinds: set[Any]) -> Any:
        if bool not in kinds and kinds & {int, float}:
            self._problems.add(node.line, node.key, "must be a number, not true or false")
            return _UNRESOLVED
        return data


def _has_model(kinds: set[Any]) -> bool:
    """Whether a value is read by a model of its own, which knows where numbers are due."""
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)


def _whole(values: list[Any]) -> Any:
    return _UNRESOLVED if any(value is _UNRESOLVED for value in values) else values


def _kinds(annotation: Any) -> list[Any]:
    """Every type that an annotation names: of `tuple[str, ...] | None` tuple, str and None."""
    arguments = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    inner = [kind for argument in arguments for kind in _kinds(argument)]
    return [annotation, *inner]
