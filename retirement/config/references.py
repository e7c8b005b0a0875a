"""Values that stand elsewhere: `${NAME}` in any text, `file:` and `block:` for secrets.

No message shows what a secret's key holds, not even the name of a file or block: it may be the secret itself.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from retirement.config import databases
from retirement.config.document import Node
from retirement.config.problems import Problems
from retirement.errors import RetirementError

LARGEST_SECRET = 64 * 1024

_VARIABLE = re.compile(r"(?P<escaped>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|(file|block):\S.*")
_TEMPLATE = re.compile(r"\{\{|\{%")

SecretBlock = Callable[[str], str]


class References:
    """Resolves the values of one file. Each method answers None where `problems` says why not."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        secret_block: SecretBlock | None,
        problems: Problems,
        *,
        exposed: bool,
    ) -> None:
        self._folder = folder
        self._environ = environ
        self._secret_block = secret_block
        self._problems = problems
        self._exposed = exposed
        self.secrets: list[str] = []

    def text(self, node: Node, written: str) -> str | None:
        """The text with its `${NAME}` filled in; `$${` is a literal `${`."""
        if _TEMPLATE.search(written):
            self._refuse(node, "is still a template ({{ … }}); give the value that it stands for")
            return None
        missing = []
        parts: list[str] = []
        place = 0
        for match in _VARIABLE.finditer(written):
            parts.append(written[place : match.start()])
            place = match.end()
            if match["escaped"]:
                parts.append("${")
            elif match["name"] is None:
                self._refuse(node, "holds a `${` that begins no ${NAME}; write `$${` where you mean the characters")
                return None
            elif match["name"] in self._environ:
                parts.append(self._environ[match["name"]])
            else:
                missing.append(match["name"])
        for name in dict.fromkeys(missing):
            self._refuse(node, f"the environment variable {name} is not set; set it")
        return None if missing else "".join([*parts, written[place:]])

    def secret(self, node: Node, written: str) -> str | None:
        """A secret from the environment, a file, a block, or as it is written."""
        kind, _, rest = written.partition(":")
        if kind in ("file", "block"):
            where = self.text(node, rest)
            found = where and (self._from_file(node, where) if kind == "file" else self._from_block(node, where))
        else:
            found = self.text(node, written)
            plain = not _VARIABLE.search(written) and not databases.HARMLESS.fullmatch(written)
            if self._exposed and plain:
                self._problems.warn(
                    node.line,
                    node.key,
                    "stands in a file that others can read; `chmod 600` it, or give ${NAME}, file: or block:",
                )
        if found == "":
            self._refuse(node, "is empty; give the secret, ${NAME}, file:PATH or block:NAME")
            return None
        if found:
            self.secrets.append(found)
        return found

    def _from_file(self, node: Node, path: str) -> str | None:
        try:
            with (self._folder / path).open("rb") as file:
                text = file.read(LARGEST_SECRET).decode("utf-8-sig")
        except UnicodeDecodeError:
            self._refuse(node, "names a file that is not UTF-8 text")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such name is possible"
            self._refuse(node, f"names a file that cannot be read: {reason}")
        else:
            return text.rstrip("\r\n")
        return None

    def _from_block(self, node: Node, name: str) -> str | None:
        if self._secret_block is None:
            self._refuse(node, "names a secret block, and no engine is there to ask; use ${NAME} or file: here")
            return None
        try:
            return self._secret_block(name)
        except (ValueError, LookupError, OSError, RetirementError):
            self._refuse(node, "names a secret block that cannot be loaded; create it, or use ${NAME} or file:")
            return None

    def _refuse(self, node: Node, text: str) -> None:
        self._problems.add(node.line, node.key, text)


def is_reference(text: str) -> bool:
    """Whether a text points to a secret rather than being one."""
    return _REFERENCE.fullmatch(text) is not None


def escaped(text: str) -> str:
    """The text so that reading it back finds no `${NAME}` in it."""
    return text.replace("${", "$${")
