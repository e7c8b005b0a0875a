"""`retirement certificate`: issue the certificate of one learner, or check one against the ledger."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from retirement import certificate as certificates
from retirement.certificate import Certificate
from retirement.cli.command import Call, command
from retirement.cli.output import errors, out, show_json
from retirement.errors import ConfigError
from retirement.ledger.extract import verified_extract
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ledger_location


class Form(StrEnum):
    """How a certificate is written down."""

    JSON = "json"
    HTML = "html"
    PDF = "pdf"


@command()
async def certificate(
    call: Call,
    user_id: int | None = None,
    form: Annotated[Form, typer.Option("--format", help="Canonical JSON, one page of HTML, or PDF.")] = Form.JSON,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; default standard output.", show_default=False)
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", help="Compare a JSON certificate with the ledger instead.", show_default=False),
    ] = None,
) -> int:
    """Issue the certificate of one learner from the ledger; with --check, verify one against it, offline."""
    if (user_id is None) == (check is None):
        raise typer.BadParameter("give either a learner or --check")
    if check:
        return await _checked(call, check)
    return await _issued(call, int(user_id or 0), form, output)


async def _issued(call: Call, user_id: int, form: Form, output: Path | None) -> int:
    issued = certificates.certificate_of(verified_extract(ledger_location(call.configuration), user_id))
    _write(_rendered(issued, form), output)
    if output and call.as_json:
        show_json({"user_id": user_id, "file": str(output), "complete": issued["complete"]})
    for reason in issued["not_complete"]:
        errors.print(f"not complete: {reason}")
    return DONE if issued["complete"] else SOME_FAILED


def _rendered(issued: Certificate, form: Form) -> bytes:
    if form is Form.PDF:
        return certificates.pdf(issued)
    text = certificates.html(issued) if form is Form.HTML else certificates.as_json(issued)
    return text.encode("utf-8")


def _write(content: bytes, output: Path | None) -> None:
    if output is None:
        out.write_bytes(content)
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


async def _checked(call: Call, file: Path) -> int:
    location = ledger_location(call.configuration)
    document = _document(file)
    wrong = certificates.check(document, location)
    complete = not wrong and bool(document.get("complete"))
    verdict = wrong or [f"true: {'complete' if complete else 'and not complete'}"]
    call.show({"true": not wrong, "complete": complete, "wrong": wrong}, *verdict)
    return DONE if complete else SOME_FAILED
