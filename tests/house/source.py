"""The code base as data: modules and what they import, Markdown and what its links and consoles say."""

import ast
import gc
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Folders of Python code, by what they are for.
PRODUCT, WORDS, TESTS = ("retirement", "flows"), ("docs",), ("tests",)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Module:
    """One source file, parsed."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Everything in the tree; a walk takes longer than most questions about what it finds."""
        return tuple(ast.walk(self.tree))

    @property
    def place(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @cached_property
    def imports(self) -> frozenset[str]:
        """Every module that is imported anywhere in this one, inside functions too."""
        return frozenset(self._imported())

    def _imported(self) -> Iterator[str]:
        known = _names()
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    # `from package import module` reads like `from module import name`.
                    whole = f"{node.module}.{alias.name}"
                    yield whole if whole in known else node.module

    def functions(self) -> Iterator[Function]:
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def module(path: Path) -> Module:
    """The module of a file; one for all who ask."""
    return Module(_name(path), path)


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every Python module below these folders."""
    found = tuple(module(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    # A million nodes and no garbage among them: to search them time and again takes three times as long as to parse.
    gc.disable()
    try:
        assert all(each.nodes for each in found)
    finally:
        gc.freeze()
        gc.enable()
    return found


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _names() -> frozenset[str]:
    return frozenset(_name(path) for folder in PRODUCT for path in (ROOT / folder).rglob("*.py"))


def within(name: str, package: str) -> bool:
    """Whether a module is that package or lies in it."""
    return name == package or name.startswith(f"{package}.")


@cache
def files() -> tuple[Path, ...]:
    """What git keeps or is about to keep, as far as it is there."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = (ROOT / name for name in listed.split("\0") if name)
    return tuple(path for path in found if path.is_file())


def markdown() -> list[Path]:
    """Every Markdown file of the project."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deployments").rglob("*.md")])


def links(path: Path) -> list[str]:
    """Where the links of a Markdown file lead, those outside left out."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def headings(path: Path) -> set[str]:
    """The anchors of a Markdown file, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def typed(path: Path) -> list[list[str]]:
    """The command lines of the ```console blocks of a Markdown file, in words; `ENV=…` and folders are gone."""
    blocks = re.findall(r"```console\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = []
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            words = shlex.split(line[2:], comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            found.append([words[0].rpartition("/")[2], *words[1:]])
    return found
