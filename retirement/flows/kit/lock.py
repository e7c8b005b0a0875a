"""The lock of our Prefect server: a random credential of this installation, which server and clients are given.

Without it any account of the machine, and web pages that a browser of the machine shows, could run code as the account
of the service (docs/decisions/0020). Imports nothing of Prefect.
"""

import html
import os
import secrets
from pathlib import Path

from retirement.errors import ConfigError

#: Below the folder of the server: one line, which is also what the UI's log-in asks for.
FILE = "credential"
#: Below the folder of the server: a page for this account's browser that signs in.
PAGE = "sign-in.html"
#: The names under which the server answers. A page whose own name was pointed at this machine has another one.
HOSTS = ("127.0.0.1", "localhost")
#: Where the server takes the form of that page.
SIGN_IN = "/retirement/sign-in"

_USER = "retirement"
_BYTES = 32
#: What others than the account may not have.
_OF_OTHERS = 0o077


def made(folder: Path) -> str:
    """The credential for a server that starts: the installation's, or a new one where others could have read it."""
    file = folder / FILE
    try:
        if known := _read(file):
            return known
        made = f"{_USER}:{secrets.token_urlsafe(_BYTES)}"
        _write(file, f"{made}\n")
    except OSError as error:
        raise ConfigError(f"{file}: the credential of Prefect's server: {error.strerror}") from None
    return made


def found(folder: Path) -> str:
    """The credential of the server that is up. Raises `ConfigError` where it is gone, or is not this account's."""
    file = folder / FILE
    try:
        known = _read(file)
    except OSError as error:
        raise ConfigError(f"{file}: the credential of Prefect's server cannot be read: {error.strerror}") from None
    if known is None:
        raise ConfigError(
            f"{file}: the credential of the Prefect server that is up is gone, or others may read it; stop that"
            " server's commands, and start `retirement serve` again"
        )
    return known


def _read(file: Path) -> str | None:
    """The credential of a file, None where there is none, or others than its owner may read or write it."""
    try:
        with file.open(encoding="ascii") as opened:
            if os.fstat(opened.fileno()).st_mode & _OF_OTHERS:
                return None
            return opened.read().strip() or None
    except FileNotFoundError:
        return None


def _write(file: Path, text: str) -> None:
    """Writes a file that only this account may read, and no reader ever sees half of it."""
    new = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
    new.replace(file)


def of_client(credential: str) -> dict[str, str]:
    """The variables of a process that asks the server."""
    return {"PREFECT_API_AUTH_STRING": credential}


def of_server(credential: str, port: int) -> dict[str, str]:
    """The variables of the server: it asks for the credential, and lets no page of another origin read an answer."""
    return of_client(credential) | {
        "PREFECT_SERVER_API_AUTH_STRING": credential,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}:{port}" for host in HOSTS),
    }


def login(folder: Path) -> str:
    """Where the credential is for the log-in of the UI; never the credential itself."""
    return f"the UI's log-in asks for the line in {folder / FILE}; `retirement ui` opens it signed in"


def write_page(folder: Path, ui_url: str) -> Path:
    """Writes the page that signs a browser in; only this account can read it, and no address has the credential."""
    credential = html.escape(found(folder))
    file = folder / PAGE
    try:
        _write(file, _PAGE.format(action=html.escape(f"{ui_url}{SIGN_IN}"), credential=credential))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from None
    return file


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Sign in to Prefect's UI</title>
<form method="post" action="{action}"><input type="hidden" name="credential" value="{credential}">
<button>Sign in</button></form><script>document.forms[0].submit()</script></html>
"""
