"""What every dialect is brought into before it is checked: the shape of our own, with its own names and lines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from retirement.config.document import Data, Node


@dataclass(frozen=True)
class Draft:
    """A file in the shape of our own dialect; each node keeps the key and line it has in the file.

    `named` tells what this dialect calls one of our keys, for the case that it is missing.
    """

    dialect: str
    root: Node
    named: Callable[[str], str]

    @property
    def insecure_remedy(self) -> str:
        if self.dialect == "own":
            return "set allow_insecure: true beside it"
        return "write `allow_insecure: true` at the top level of the file"


def moved(node: Node, data: Data) -> Node:
    """Other data at the place of a node."""
    return Node(data, node.line, node.key)


def renamed(root: Node, names: Mapping[str, str]) -> dict[str, Node]:
    """The entries of a mapping that have one of these names, under the name that we give them."""
    return {ours: root.entries[theirs] for theirs, ours in names.items() if theirs in root.entries}
