"""What every dialect is brought into before it is checked: the shape of our own, with its own names and lines."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from retirement.config.document import Data, Node
from retirement.config.problems import Problems

#: What a row of the reference's pipeline has, in its order.
ROW = ("start", "end", "service", "operation")


@dataclass(frozen=True, slots=True)
class Outside:
    """A setting that may stand outside of a file: its key of ours, its option, and the most careful known value."""

    key: str
    option: str
    careful: int


@dataclass(frozen=True)
class Draft:
    """A file in the shape of our own dialect; each node keeps the key and line it has in the file.

    `named` tells what this dialect calls one of our keys, for the case that it is missing. `outside` are the
    settings that its files leave to a command line.
    """

    dialect: str
    root: Node
    named: Callable[[str], str]
    outside: tuple[Outside, ...] = ()

    @property
    def insecure_remedy(self) -> str:
        if self.dialect == "own":
            return "set allow_insecure: true beside it"
        return "write `allow_insecure: true` at the top level of the file"


def moved(node: Node, data: Data) -> Node:
    """Other data at the place of a node."""
    return Node(data, node.line, node.key, node.text)


def chosen(root: Node, names: Iterable[str]) -> dict[str, Node]:
    """The entries of a mapping that have one of these names."""
    return {name: root.entries[name] for name in names if name in root.entries}


def renamed(root: Node, names: Mapping[str, str]) -> dict[str, Node]:
    """The entries of a mapping that have one of these names, under the name that we give them."""
    return {ours: root.entries[theirs] for theirs, ours in names.items() if theirs in root.entries}


def step(row: Sequence[str], at: Node) -> Node:
    """A step that stands in no file, at the place of what it follows from; `row` is in the order of `ROW`."""
    entries = {name: Node(text, at.line, at.key, text) for name, text in zip(ROW, row, strict=True)}
    return Node(dict[str, Node](entries), at.line, at.key)


def warn_of_unused(nodes: Sequence[Node], problems: Problems) -> None:
    """One warning for all keys of a predecessor that have no use here, on the line of the first."""
    if nodes:
        keys = ", ".join(node.key for node in nodes)
        problems.warn(nodes[0].line, nodes[0].key, f"not used by this version: {keys}")
