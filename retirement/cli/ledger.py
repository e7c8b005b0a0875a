"""Commands on the ledger itself: create or upgrade it, and prove that no entry was changed."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from retirement.cli.asking import YesOption, agreed
from retirement.cli.command import Call, command
from retirement.cli.options import ByOption, DryRunOption, require_keepable
from retirement.ledger import Rotation
from retirement.ledger import migrate as migrate_ledger
from retirement.ledger import rotate_key as rotate
from retirement.ledger import verify as verify_ledger
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ledger_location

app = typer.Typer(help="The evidence: create, upgrade and verify it.", no_args_is_help=True)


@app.command()
@command()
async def migrate(call: Call) -> int:
    """Create the ledger, or bring its tables to this release's; nothing is lost."""
    before, after = migrate_ledger(ledger_location(call.configuration))
    call.show({"before": before, "after": after}, f"schema {before or 'none'} → {after}")
    return DONE


@app.command()
@command()
async def verify(call: Call) -> int:
    """Read every entry and compare chain, tables and anchored head; names the first that is wrong."""
    verdict = verify_ledger(ledger_location(call.configuration))
    problem = verdict.problem.sentence if verdict.problem else None
    document: dict[str, Any] = {
        "ok": verdict.ok,
        "entries": verdict.entries,
        "head": verdict.head.hash,
        "entry": verdict.problem.seq if verdict.problem else None,
        "problem": problem,
    }
    call.show(document, problem or f"{verdict.entries} entries, whole; head {verdict.head.hash}")
    return DONE if verdict.ok else SOME_FAILED


@app.command("rotate-key")
@command()
async def rotate_key(
    call: Call,
    by: ByOption,
    lost: Annotated[
        bool, typer.Option("--lost", help="The present key is gone: addresses under it cannot be asked for any more.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Give the ledger a new key; the old one stays beside it for look-ups; shows what it does and asks first."""
    require_keepable(by=by)
    location = ledger_location(call.configuration)
    done = rotate(location, by=by, lost=lost, dry_run=True)
    if not dry_run:
        if not (yes or agreed("give the ledger a new key?", *_rotation(done), dry_run_shows="what it does")):
            return DONE
        done = rotate(location, by=by, lost=lost)
    document = asdict(done) | {"key_file": str(done.key_file), "kept": [str(path) for path in done.kept]}
    call.show(document, *_rotation(done))
    return DONE


def _rotation(rotation: Rotation) -> list[str]:
    lines = [f"key {rotation.before or 'unknown'} → {rotation.after or 'a new one'} in {rotation.key_file}"]
    if rotation.lost:
        lines.append("the key before is lost: addresses and usernames under it cannot be asked for any more")
    lines += [f"for look-ups: {path}" for path in rotation.kept]
    if rotation.closed_claims:
        lines.append(f"partner reports that no key opens: {rotation.closed_claims}")
    return [*lines, "every machine that shares this ledger needs a copy of these files"]
