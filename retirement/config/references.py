"""Values that stand elsewhere: `${NAME}` in any text, `file:` and `block:` for secrets.

No message shows what a secret's key holds, not even the name of a file or block: it may be the secret itself.
"""

import os
import re
import stat
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
        wrong = self._wrong_with(written)
        for text in wrong:
            self._refuse(node, text)
        return None if wrong else _VARIABLE.sub(self._filled, written)

    def _wrong_with(self, written: str) -> list[str]:
        if _TEMPLATE.search(written):
            return ["is still a template ({{ … }}); give the value that it stands for"]
        names = _variables(written)
        if "" in names:
            return ["holds a `${` that begins no ${NAME}; write `$${` where you mean the characters"]
        return [f"the environment variable {name} is not set; set it" for name in names if name not in self._environ]

    def _filled(self, match: re.Match[str]) -> str:
        return "${" if match["escaped"] else self._environ[match["name"]]

    def secret(self, node: Node, written: str) -> str | None:
        """A secret from the environment, a file, a block, or as it is written."""
        found = self._looked_up(node, written)
        secret = found and self._without_newline(node, found)
        if secret == "":
            self._refuse(node, "is empty; give the secret, ${NAME}, file:PATH or block:NAME")
            return None
        if secret:
            self.secrets.append(secret)
        return secret

    def _looked_up(self, node: Node, written: str) -> str | None:
        kind, _, rest = written.partition(":")
        source = {"file": self._from_file, "block": self._from_block}.get(kind)
        if source is None:
            return self._as_written(node, written)
        where = self.text(node, rest)
        return where and source(node, where)

    def _as_written(self, node: Node, written: str) -> str | None:
        harmless = _VARIABLE.search(written) or databases.HARMLESS.fullmatch(written)
        if self._exposed and not harmless:
            text = "stands in a file that others can read; `chmod 600` it, or give ${NAME}, file: or block:"
            self._problems.warn(node.line, node.key, text)
        return self.text(node, written)

    def _without_newline(self, node: Node, secret: str) -> str:
        """Editors and `echo` end a text with a newline, which is part of no secret; a blank may be, and is named."""
        secret = secret.rstrip("\r\n")
        if not secret.strip():
            return ""
        if secret != secret.strip():
            text = "begins or ends with a blank, which is taken as part of the secret; remove it where it is none"
            self._problems.warn(node.line, node.key, text)
        return secret

    def _from_file(self, node: Node, path: str) -> str | None:
        try:
            text = _regular_text(self._folder / path)
        except _NotRegularError:
            self._refuse(
                node, "names no regular file (a pipe, a socket or a device); give a file that holds the secret"
            )
        except UnicodeDecodeError:
            self._refuse(node, "names a file that is not UTF-8 text")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no such name is possible"
            self._refuse(node, f"names a file that cannot be read: {reason}")
        else:
            return text
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


def _variables(written: str) -> list[str]:
    """The name in each `${NAME}` of a text, once; an empty one for a `${` that begins none."""
    return list(dict.fromkeys(name for escaped, name in _VARIABLE.findall(written) if not escaped))


class _NotRegularError(Exception):
    """Reading it could wait for ever, or never end."""


def _regular_text(path: Path) -> str:
    """The text of a file; opened so that a pipe without a writer does not hold the program."""
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _NotRegularError
        return file.read(LARGEST_SECRET).decode("utf-8-sig")


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def is_reference(text: str) -> bool:
    """Whether a text points to a secret rather than being one."""
    return _REFERENCE.fullmatch(text) is not None


def escaped(text: str) -> str:
    """The text so that reading it back finds no `${NAME}` in it."""
    return text.replace("${", "$${")
