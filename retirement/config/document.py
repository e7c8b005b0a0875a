"""YAML with positions: every value knows its line and the key that an operator would call it by."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.constructor import SafeConstructor

from retirement.config.problems import Problems, shown

LARGEST_FILE = 256 * 1024
#: Aliases can make a small file stand for an enormous document.
MOST_VALUES = 50_000

_TAG = "tag:yaml.org,2002:"
#: What the parser calls the pieces of YAML in its errors.
_TOKENS = frozenset(
    each.id for each in (*yaml.tokens.Token.__subclasses__(), yaml.StreamEndToken) if hasattr(each, "id")
)
#: Before any quote or comment of its line: a template in quotes is YAML, and common in files of Ansible.
_TEMPLATE = re.compile(r"^[^'\"#\n]*?(\{\{|\{%)", re.MULTILINE)
_UNRENDERED = (
    "is a template ({{ … }}, {% … %}); give the file that was made from it: the role's is "
    "`/edx/app/retirement_service/config.yml`, Tutor's stands below `$(tutor config printroot)/env/plugins/retirement`"
)
_QUOTED = re.compile(r"(?P<mark>['\"])(?P<text>.*?)(?P=mark)", re.DOTALL)
_ESCAPE = re.compile(r"\\U([0-9A-Fa-f]{8})")
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_TEXT_TAGS = ("str", "timestamp", "binary", "value", "merge")

Data = None | bool | int | float | str | list["Node"] | dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file. `text` is a scalar as it is written, `unusable` says why it cannot be used.

    `odd` says why it cannot be used as a number: YAML 1.1 reads another one than the reader of the file.
    """

    data: Data = field(repr=False)
    line: int
    key: str
    text: str = field(default="", repr=False)
    unusable: str = ""
    odd: str = ""

    @property
    def entries(self) -> dict[str, "Node"]:
        """The children of a mapping; nothing for anything else."""
        return self.data if isinstance(self.data, dict) else {}

    @property
    def items(self) -> list["Node"]:
        """The children of a list; nothing for anything else."""
        return self.data if isinstance(self.data, list) else []

    def child(self, name: str) -> "Node":
        """The entry of that name; one without a value, at the place of the mapping, where there is none."""
        return self.entries.get(name) or Node(None, self.line, self.key)

    def unlike(self, kind: type, text: str) -> str:
        """Why this is no mapping or list (`kind`), as `text` says it; nothing where it is one, or has no value."""
        return self.unusable or ("" if self.data is None or isinstance(self.data, kind) else text)

    def at(self, place: tuple[int | str, ...]) -> "Node":
        """The node at this place below, or the last one on the way that exists."""
        node = self
        for part in place:
            if str(part) in node.entries:
                node = node.entries[str(part)]
            elif isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                break
        return node


class _NoDocumentError(Exception):
    """Why a file has no values at all, and on which line that shows."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.text, self.line = text, line


def read(path: Path, problems: Problems) -> Node | None:
    """The file as nodes; None where `problems` says why not."""
    try:
        return _mapping_of(_parsed(_decoded(_bytes_of(path)), problems))
    except _NoDocumentError as error:
        problems.add(error.line, "file", error.text)
        return None


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        text = "there is no such file; name one with --config or RETIREMENT_CONFIG"
    except IsADirectoryError:
        text = "is a folder; name the file in it"
    except OSError as error:
        text = f"cannot be read: {error.strerror}"
    except ValueError:
        text = "cannot be read: the name cannot be one of a file"
    raise _NoDocumentError(text)


def _decoded(raw: bytes) -> str:
    if len(raw) > LARGEST_FILE:
        raise _NoDocumentError(f"is larger than {LARGEST_FILE // 1024} KiB, so it is no configuration")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise _NoDocumentError("is not UTF-8 text; save it as UTF-8", line) from None


def _parsed(text: str, problems: Problems) -> Node | None:
    """The values of a text; None where it has none."""
    try:
        root = yaml.SafeLoader(text).get_single_node()
        return _Tree(problems).node(root, 1, "") if root else None
    except yaml.YAMLError as error:
        if template := _TEMPLATE.search(text):
            raise _NoDocumentError(_UNRENDERED, text.count("\n", 0, template.start(1)) + 1) from None
        raise _NoDocumentError(f"is no YAML: {_reason(error)}", _line(error, text)) from None
    except RecursionError:
        raise _NoDocumentError("is nested too deeply") from None
    except (OverflowError, ValueError):
        # The parser makes a character of any number that stands behind a backslash.
        number = next((each for each in _ESCAPE.finditer(text) if int(each[1], 16) > sys.maxunicode), None)
        line = text.count("\n", 0, number.start()) + 1 if number else 1
        raise _NoDocumentError("is no YAML: it holds an escape (\\U…) that is no character", line) from None


def _mapping_of(node: Node | None) -> Node:
    if node is None or node.data is None:
        raise _NoDocumentError("is empty; deployments/examples has files to start from")
    if not isinstance(node.data, dict):
        raise _NoDocumentError("must be a mapping of keys and values, such as `lms:`")
    return node


def _line(error: yaml.YAMLError, text: str) -> int:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return mark.line + 1 if mark else 1
    position = getattr(error, "position", 0)
    return text.count("\n", 0, position) + 1


def _reason(error: yaml.YAMLError) -> str:
    """The parser's words up to where it quotes more than a character of the file."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return "it holds characters that YAML does not allow"
    words = f"{error.problem or error.context or 'it cannot be read'}"
    for quoted in _QUOTED.finditer(words):
        if _may_be_of_the_file(quoted["text"]):
            return words[: quoted.start()] + "…"
    return " ".join(words.split())


def _may_be_of_the_file(quoted: str) -> bool:
    return len(quoted) > 2 and quoted not in _TOKENS


class _Tree:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._left = MOST_VALUES
        self._open: set[int] = set()

    def node(self, node: yaml.Node, line: int, key: str) -> Node:
        if self._is_one_too_many(line, key) or id(node) in self._open:
            return Node(None, line, key, unusable="refers to itself or stands for too many values")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, line, key)
        self._open.add(id(node))
        data: Data = self._mapping(node, key) if isinstance(node, yaml.MappingNode) else self._list(node, key)
        self._open.discard(id(node))
        return Node(data, line, key)

    def _is_one_too_many(self, line: int, key: str) -> bool:
        """Counts a value; the first beyond the limit is an error."""
        self._left -= 1
        if self._left == 0:
            self._problems.add(line, key or "file", f"stands for more than {MOST_VALUES} values")
        return self._left <= 0

    def _list(self, node: yaml.Node, key: str) -> list[Node]:
        return [self.node(each, _at(each), f"{key}[{place}]") for place, each in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        entries: dict[str, Node] = {}
        for name, path, value in self._keys(node, key):
            line = _at(name)
            if name.tag == f"{_TAG}merge":
                merged |= dict(self._merged(value, line, path))
            elif name.value in entries:
                first = entries[name.value].line
                self._problems.add(line, path, f"is given twice, first on line {first}; keep one")
            else:
                entries[name.value] = self.node(value, line, path)
        return merged | entries

    def _keys(self, node: yaml.MappingNode, key: str) -> Iterator[tuple[yaml.ScalarNode, str, yaml.Node]]:
        """Each key that is text, what an operator would call it, and its value."""
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode):
                yield name, f"{key}.{shown(name.value)}" if key else shown(name.value), value
            else:
                text = "a key must be plain text; a template ({{ … }}) has to be rendered, or quoted, first"
                self._problems.add(_at(name), key or "file", text)

    def _merged(self, value: yaml.Node, line: int, path: str) -> Iterator[tuple[str, Node]]:
        # The first of several wins, so that they are laid over one another in reverse.
        for each in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
            if isinstance(each, yaml.MappingNode):
                yield from self.node(each, line, path.rpartition(".")[0]).entries.items()
            else:
                self._problems.add(line, path, "can only merge mappings")


def _at(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _scalar(node: yaml.ScalarNode, line: int, key: str) -> Node:
    kind = node.tag.removeprefix(_TAG)
    known = SafeConstructor()
    builders = {"bool": known.construct_yaml_bool, "int": known.construct_yaml_int, "float": known.construct_yaml_float}
    data: Data = node.value
    unusable = odd = ""
    if kind == "null":
        data = None
    elif kind in builders:
        try:
            data = builders[kind](node)
        except (ValueError, LookupError):
            data = node.value
        odd = _odd(kind, node.value)
    elif kind == "!vault":
        unusable = "is sealed by Ansible Vault, which is not opened here; give ${NAME} and set that variable"
    elif kind not in _TEXT_TAGS:
        unusable = "has a YAML tag that means nothing here; remove it"
    return Node(data, line, key, node.value, unusable, odd)


def _odd(kind: str, text: str) -> str:
    """`010` is eight to YAML 1.1, and `1:30` ninety."""
    if ":" in text:
        return "is a number in base 60 to YAML (digits with a colon); write the number itself in decimal digits"
    if kind == "int" and _OCTAL.fullmatch(text):
        return "is an octal number to YAML (it begins with 0); write it in decimal digits, without the 0"
    return ""
