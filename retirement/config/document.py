"""YAML with positions: every value knows its line and the key that an operator would call it by."""

import re
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
_TEXT_TAGS = ("str", "timestamp", "binary", "value", "merge")

Data = None | bool | int | float | str | list["Node"] | dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file. `text` is a scalar as it is written, `unusable` says why nobody may use it."""

    data: Data = field(repr=False)
    line: int
    key: str
    text: str = field(default="", repr=False)
    unusable: str = ""

    @property
    def entries(self) -> dict[str, "Node"]:
        """The children of a mapping; nothing for anything else."""
        return self.data if isinstance(self.data, dict) else {}

    @property
    def items(self) -> list["Node"]:
        """The children of a list; nothing for anything else."""
        return self.data if isinstance(self.data, list) else []

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


def read(path: Path, problems: Problems) -> Node | None:
    """The file as nodes; None where `problems` says why not."""
    text = _text(path, problems)
    if text is None:
        return None
    try:
        root = yaml.SafeLoader(text).get_single_node()
        node = _Tree(problems).node(root, 1, "") if root else None
    except yaml.YAMLError as error:
        problems.add(_line(error, text), "file", f"is no YAML: {_reason(error)}")
        return None
    except RecursionError:
        problems.add(1, "file", "is nested too deeply")
        return None
    if node is None or node.data is None:
        problems.add(1, "file", "is empty; deployments/examples has files to start from")
        return None
    if not isinstance(node.data, dict):
        problems.add(1, "file", "must be a mapping of keys and values, such as `lms:`")
        return None
    return node


def _text(path: Path, problems: Problems) -> str | None:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        problems.add(1, "file", "there is no such file; name one with --config or RETIREMENT_CONFIG")
    except IsADirectoryError:
        problems.add(1, "file", "is a folder; name the file in it")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the name cannot be one of a file"
        problems.add(1, "file", f"cannot be read: {reason}")
    else:
        if len(raw) > LARGEST_FILE:
            problems.add(1, "file", f"is larger than {LARGEST_FILE // 1024} KiB, so it is no configuration")
            return None
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw[: error.start].count(b"\n") + 1
            problems.add(line, "file", "is not UTF-8 text; save it as UTF-8")
    return None


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
    for quoted in re.finditer(r"'([^']*)'|\"([^\"]*)\"", words):
        text = quoted[1] or quoted[2] or ""
        if len(text) > 2 and text not in _TOKENS:
            return words[: quoted.start()] + "…"
    return " ".join(words.split())


class _Tree:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._left = MOST_VALUES
        self._open: set[int] = set()

    def node(self, node: yaml.Node, line: int, key: str) -> Node:
        self._left -= 1
        if self._left == 0:
            self._problems.add(line, key or "file", f"stands for more than {MOST_VALUES} values")
        if self._left <= 0 or id(node) in self._open:
            return Node(None, line, key, unusable="refers to itself or stands for too many values")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, line, key)
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            result = Node(self._mapping(node, key), line, key)
        else:
            children = enumerate(node.value)
            result = Node([self.node(each, _at(each), f"{key}[{place}]") for place, each in children], line, key)
        self._open.discard(id(node))
        return result

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Node]:
        merged: dict[str, Node] = {}
        entries: dict[str, Node] = {}
        for name, value in node.value:
            line = _at(name)
            if not isinstance(name, yaml.ScalarNode):
                text = "a key must be plain text; a template ({{ … }}) has to be rendered, or quoted, first"
                self._problems.add(line, key or "file", text)
                continue
            path = f"{key}.{shown(name.value)}" if key else shown(name.value)
            if name.tag == f"{_TAG}merge":
                merged |= dict(self._merged(value, line, path))
            elif name.value in entries:
                first = entries[name.value].line
                self._problems.add(line, path, f"is given twice, first on line {first}; keep one")
            else:
                entries[name.value] = self.node(value, line, path)
        return merged | entries

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
    unusable = ""
    if kind == "null":
        data = None
    elif kind in builders:
        try:
            data = builders[kind](node)
        except (ValueError, LookupError):
            data = node.value
    elif kind == "!vault":
        unusable = "is sealed by Ansible Vault, which is not opened here; give ${NAME} and set that variable"
    elif kind not in _TEXT_TAGS:
        unusable = "has a YAML tag that means nothing here; remove it"
    return Node(data, line, key, node.value, unusable)
