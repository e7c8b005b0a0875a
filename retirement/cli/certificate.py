"""`retirement certificate`: issue the certificate of one learner, or check one against the ledger."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from retirement import certificate as certificates
from retirement.certificate import Certificate, Comparison
from retirement.cli.command import Call, command
from retirement.cli.output import errors, out, show_json
from retirement.errors import ConfigError
from retirement.ledger import public_key_of
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
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            help="With --check: file with the installation's public key in PEM; the ledger is not needed then.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Issue the signed certificate of one learner from the ledger; with --check, verify one, offline."""
    if (user_id is None) == (check is None):
        raise typer.BadParameter("give either a learner or --check")
    if public_key and not check:
        raise typer.BadParameter("--public-key belongs to --check")
    if check:
        return await (_checked_alone(call, check, public_key) if public_key else _checked(call, check))
    return await _issued(call, int(user_id or 0), form, output)


async def _issued(call: Call, user_id: int, form: Form, output: Path | None) -> int:
    issued = certificates.issue(ledger_location(call.configuration), user_id)
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


async def _checked_alone(call: Call, file: Path, public_key: Path) -> int:
    """By the signatures alone: what the installation said, and nothing of what it says today."""
    document = _document(file)
    wrong = certificates.check_seal(document, [public_key_of(public_key)])
    complete = not wrong and document.get("complete") is True
    lines = wrong or [_as_of(document, complete), "as of today: not asked, since no ledger is"]
    call.show({"true": not wrong, "complete": complete, "wrong": wrong, "today": None}, *lines)
    return DONE if complete else SOME_FAILED


async def _checked(call: Call, file: Path) -> int:
    document = _document(file)
    found = certificates.compare(document, ledger_location(call.configuration))
    complete = not found.wrong and document.get("complete") is True
    lines = found.wrong or [_as_of(document, complete), *_today(found)]
    today = found.today and {name: found.today[name] for name in ("complete", "not_complete")}
    answer = {"true": not found.wrong, "complete": complete, "wrong": found.wrong}
    call.show({**answer, "today": today, "changed": found.changed}, *lines)
    return DONE if complete and not found.is_outdated else SOME_FAILED


def _as_of(document: Any, complete: bool) -> str:
    head = document["proof"]["head"]
    return f"true as of entry {head['seq']} of {head['at']}: {'complete' if complete else 'not complete'}"


def _today(found: Comparison) -> list[str]:
    if found.today is None:
        return ["as of today: the ledger has no such retirement"]
    said = "complete" if found.today["complete"] else f"not complete: {'; '.join(found.today['not_complete'])}"
    changed = [f"changed since: {', '.join(found.changed)}"] if found.changed else []
    return [f"as of today: {said}", *changed]
