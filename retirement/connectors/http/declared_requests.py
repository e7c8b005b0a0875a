"""Requests that a configuration declares: templates, what may stand in them, and how their answers are read.

A part of the connector HTTP. Placeholders are whole names in braces and are checked at load; a template is filled with
texts only, so nothing of a learner can become a key, a path of its own or another placeholder. Within a text of query,
JSON or form a value could become a part of a query; that takes `raw`, and then it is plain letters and digits only.
"""

from collections.abc import Callable, Iterator, Mapping
from string import Formatter
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from retirement.connectors import Verdict
from retirement.connectors.shared.placeholders import NAMES, SHARED
from retirement.wire.reply import Reply

RECEIPT = "receipt"
USER_ID = "{user_id}"
#: They speak of credentials, routes or time, and never of the learner.
NO_OUTCOME = frozenset({401, 403, 405, 407, 408, 425, 429})

#: What an answer may have to hold at a place.
Value = str | int | float | bool | list[Any] | None


class Template(BaseModel):
    """A request as a template; texts of its path, query, JSON and form may hold placeholders."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    placeholders: ClassVar[frozenset[str]] = NAMES

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    # Read before the parts that it is about.
    raw: bool = False
    query: dict[str, str] = Field(default_factory=dict)
    # A field of this name would hide one of pydantic's.
    body: dict[str, Any] | list[Any] | None = Field(default=None, alias="json")
    form: dict[str, str] | None = None

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if not path.startswith("/") or set(path) & set("?# "):
            raise ValueError("must begin with / and have no query; what stands after ? goes to query")
        return path

    @field_validator("path", "query", "body", "form")
    @classmethod
    def _knows_its_placeholders(cls, value: Any) -> Any:
        for place, text, is_key in _texts(value):
            if problem := _problem_of(text, frozenset() if is_key else cls.placeholders):
                raise ValueError(f"{place}: {problem}" if place else problem)
        return value

    @field_validator("path")
    @classmethod
    def _names_one_thing(cls, path: str) -> str:
        if any("{" in segment and set(segment) & set("*%") for segment in path.split("/")):
            raise ValueError("has * or % beside a placeholder, which finds others; remove it")
        return path

    @field_validator("query", "body", "form")
    @classmethod
    def _takes_whole_values(cls, value: Any, info: ValidationInfo) -> Any:
        for place, text, is_key in _texts(value):
            names = () if is_key else tuple(_names(text))
            if names and (problem := _problem_within(text, names, raw=info.data.get("raw", False))):
                raise ValueError(f"{place}: {problem}")
        return value

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        if self.body is not None and self.form is not None:
            raise ValueError("has json and form; a request has one body, so remove one")
        return self

    @property
    def named(self) -> str:
        """Method and path template, as errors name it."""
        return f"{self.method} {self.path}"

    @property
    def used(self) -> frozenset[str]:
        """The placeholders in it."""
        parts = (self.path, self.query, self.body, self.form)
        return frozenset(name for part in parts for _, text, _ in _texts(part) for name in _names(text))

    @property
    def used_in_path(self) -> frozenset[str]:
        """The placeholders in its path."""
        return frozenset(_names(self.path))

    @property
    def used_within(self) -> frozenset[str]:
        """The placeholders that are a part of a text of query, JSON or form."""
        parts = (self.query, self.body, self.form)
        texts = (text for part in parts for _, text, is_key in _texts(part) if not is_key)
        return frozenset(name for text in texts for name in _names(text) if text != f"{{{name}}}")


class Request(Template):
    """What erases: it chooses one learner, where the method says that it acts on what path and query name."""

    @field_validator("method")
    @classmethod
    def _may_erase(cls, method: str) -> str:
        if method == "GET":
            raise ValueError("GET only reads and erases nothing; name the method that erases")
        return method

    @model_validator(mode="after")
    def _chooses_one_learner(self) -> Self:
        unique = NAMES - SHARED
        in_query = {name for text in self.query.values() for name in _names(text)}
        if self.method in ("DELETE", "PUT") and not (self.used_in_path | in_query) & unique:
            raise ValueError(
                f"{self.method} without an identity in path or query would touch others; put {USER_ID} or another "
                "there (the name is that of many)"
            )
        if not self.used & unique:
            raise ValueError(f"would touch others; name the learner with {USER_ID} or another identity but the name")
        return self


class Probe(Template):
    """A request that changes nothing and names no learner."""

    placeholders: ClassVar[frozenset[str]] = frozenset()

    method: Literal["GET", "POST"] = "GET"
    ok_on: tuple[int, ...] = (200, 204)


class Ask(Template):
    """A question that changes nothing, and how its answer is read."""

    placeholders: ClassVar[frozenset[str]] = Template.placeholders | {RECEIPT}

    method: Literal["GET", "POST"] = "GET"
    gone_on: tuple[int, ...] = (404,)
    gone_has: dict[str, Value] = Field(default_factory=dict)
    failed_has: dict[str, Value] = Field(default_factory=dict)
    otherwise: Literal["present", "working"] = "present"

    @field_validator("gone_on")
    @classmethod
    def _are_outcomes(cls, statuses: tuple[int, ...]) -> tuple[int, ...]:
        return may_be_outcomes(statuses)

    def verdict(self, reply: Reply) -> Verdict:
        """What an answer comes to. Raises `Refused` for a success that speaks of an error."""
        if self.failed_has and holds(reply.data, self.failed_has):
            return Verdict.FAILED
        no_complaint(reply)
        if reply.status in self.gone_on or (self.gone_has and holds(reply.data, self.gone_has)):
            return Verdict.GONE
        return Verdict(self.otherwise)


class Answer(BaseModel):
    """What an answer to the erasing request has to hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    must_have: dict[str, Value] = Field(default_factory=dict)
    absent_has: dict[str, Value] = Field(default_factory=dict)
    empty_404: bool = False

    def is_of_the_service(self, reply: Reply) -> bool:
        """Whether the service itself has said it: a page, or a gateway's empty 404, is nothing that it says."""
        return reply.kind == "json" or (reply.kind == "empty" and (reply.status != 404 or self.empty_404))


def may_be_outcomes(statuses: tuple[int, ...]) -> tuple[int, ...]:
    """These statuses, where each can say something about a learner. Raises `ValueError`."""
    for status in statuses:
        if status in NO_OUTCOME or not (200 <= status < 300 or 400 <= status < 500):
            raise ValueError(f"{status} says nothing about a learner; it is an error whatever is written here")
    return statuses


def no_complaint(reply: Reply) -> None:
    """Raises `Refused` for a success that speaks of an error."""
    data = reply.mapping
    failed = data.get("error") or data.get("errors") or data.get("success") is False or data.get("ok") is False
    if reply.ok and failed:
        raise reply.refused("a success that speaks of an error")


def filled(value: Any, values: Mapping[str, object], *, number: bool = False) -> Any:
    """A template with its placeholders filled; `number`: a value that is the user id alone is a number."""

    def fill(text: str) -> Any:
        return values["user_id"] if number and text == USER_ID else text.format_map(values)

    return _with_texts(value, fill)


def _with_texts(value: Any, fill: Callable[[str], Any]) -> Any:
    """JSON with `fill` done to each text in it; keys have no placeholders."""
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, list):
        return [_with_texts(each, fill) for each in value]
    if isinstance(value, dict):
        return {str(key).format_map({}): _with_texts(each, fill) for key, each in value.items()}
    return value


#: Stands where an answer has nothing: declared `null` is a value that has to be there.
_MISSING = object()


def holds(data: Any, wanted: Mapping[str, Any]) -> bool:
    """Whether JSON holds these values at these dotted paths; true is no 1."""
    return all(_same(at(data, path, _MISSING), value) for path, value in wanted.items())


def at(data: Any, path: str, nothing: Any = None) -> Any:
    """What stands at a dotted path, parts of which may be places in lists; `nothing` where nothing does."""
    for part in path.split("."):
        data = _below(data, part)
    return nothing if data is _MISSING else data


def _below(data: Any, part: str) -> Any:
    if isinstance(data, dict):
        return data.get(part, _MISSING)
    if isinstance(data, list) and part.isdecimal() and int(part) < len(data):
        return data[int(part)]
    return _MISSING


def _same(found: Any, wanted: Any) -> bool:
    return isinstance(found, bool) is isinstance(wanted, bool) and bool(found == wanted)


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str, bool]]:
    """Every text with its place, and whether it is a key."""
    if isinstance(value, str):
        yield place, value, False
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _texts(each, f"{place}[{index}]")
    elif isinstance(value, dict):
        for key, each in value.items():
            below = f"{place}.{key}" if place else str(key)
            yield below, str(key), True
            yield from _texts(each, below)


def _in_braces(text: str) -> Iterator[tuple[str, bool]]:
    """What stands in braces, and whether that is a name alone. Raises `ValueError` for a brace of its own."""
    for _, name, spec, conversion in Formatter().parse(text):
        if name is not None:
            yield name, not (spec or conversion)


def _names(text: str) -> Iterator[str]:
    return (name for name, _ in _in_braces(text) if name)


def _problem_of(text: str, allowed: frozenset[str]) -> str | None:
    """Why a text is no template; what it holds is not repeated, save for a name."""
    known = ", ".join(map("{{{}}}".format, sorted(allowed))) or "none here"
    try:
        odd = [name for name, is_alone in _in_braces(text) if not (is_alone and name in allowed)]
    except ValueError:
        return f"has a brace of its own; write {{{{ for one. Placeholders: {known}"
    return f"{_shown(odd[0])} is no placeholder; placeholders: {known}" if odd else None


def _problem_within(text: str, names: tuple[str, ...], *, raw: bool) -> str | None:
    """Why a text must not hold these placeholders as a part of itself."""
    if text == f"{{{names[0]}}}":
        return None
    if not raw:
        return f"has more than {{{names[0]}}}; let the placeholder be the whole value, or say raw: true"
    if set(text) & set("*%"):
        return "has * or % beside a placeholder, which finds others; remove it"
    if not SHARED.isdisjoint(names):
        return "has {name} within a text, and a name may hold any character; let it be the whole value"
    return None


def _shown(name: str) -> str:
    return f"{{{name}}}" if name.isidentifier() else "what stands in braces"
