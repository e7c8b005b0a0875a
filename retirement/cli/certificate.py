"""`retirement certificate`: issue the certificate of one learner, or check one against the ledger."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from retirement import certificate as certificates
from retirement.certificate import Certificate
from retirement.cli.output import ConfigOption, JsonOption, UserIdOption, console, errors, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import load
from retirement.errors import ConfigError
from retirement.ledger import LedgerPlace
from retirement.ledger.extract import verified_extract
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ledger_place


class Form(StrEnum):
    """How a certificate is written down."""

    JSON = "json"
    HTML = "html"
    PDF = "pdf"


def certificate(
    user_id: UserIdOption = None,
    form: Annotated[Form, typer.Option("--format", help="Canonical JSON, one page of HTML, or PDF.")] = Form.JSON,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; default standard output.", show_default=False)
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", help="Compare a JSON certificate with the ledger instead.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Issue the certificate of one learner from the ledger; with --check, verify one against it, offline."""
    if (user_id is None) == (check is None):
        raise typer.BadParameter("give either --user-id or --check")

    async def command() -> int:
        place = ledger_place(load(config, secret_block=secret_block))
        if check:
            return _check(_document(check), place, as_json=as_json)
        issued = certificates.certificate_of(verified_extract(place, int(user_id or 0)))
        _write(_rendered(issued, form), output)
        if output and as_json:
            show_json({"user_id": user_id, "file": str(output), "complete": issued["complete"]})
        for reason in issued["not_complete"]:
            errors.print(f"not complete: {reason}", highlight=False, markup=False)
        return DONE if issued["complete"] else SOME_FAILED

    run(command, as_json=as_json)


def _rendered(issued: Certificate, form: Form) -> bytes:
    if form is Form.PDF:
        return certificates.pdf(issued)
    text = certificates.html(issued) if form is Form.HTML else certificates.as_json(issued)
    return text.encode("utf-8")


def _write(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        output.touch(mode=0o600, exist_ok=True)
        output.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"--output: {output} cannot be written: {error.strerror}") from None


def _document(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise ConfigError(f"--check: {file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"--check: {file} is no JSON") from None


def _no_number(_word: str) -> NoReturn:
    raise ValueError("a certificate has neither NaN nor infinity")


def _check(document: Any, place: LedgerPlace, *, as_json: bool) -> int:
    wrong = certificates.check(document, place)
    complete = not wrong and bool(document.get("complete"))
    if as_json:
        show_json({"true": not wrong, "complete": complete, "wrong": wrong})
    elif wrong:
        for sentence in wrong:
            console.print(sentence, highlight=False, markup=False)
    else:
        console.print(f"true: {'complete' if complete else 'and not complete'}", highlight=False)
    return DONE if complete else SOME_FAILED
