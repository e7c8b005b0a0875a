"""Commands on the ledger itself: create or upgrade it, and prove that nobody has touched it."""

from typing import Any

import typer

from retirement.cli.output import ConfigOption, JsonOption, console, run, show_json
from retirement.cli.secrets import secret_block
from retirement.config import load
from retirement.ledger import migrate as migrate_ledger
from retirement.ledger import verify as verify_ledger
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ledger_place

app = typer.Typer(help="The evidence: create, upgrade and verify it.", no_args_is_help=True)


@app.command()
def migrate(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Create the ledger, or bring its tables to this release's; nothing is lost."""

    async def command() -> int:
        place = ledger_place(load(config, secret_block=secret_block))
        before, after = migrate_ledger(place)
        if as_json:
            show_json({"before": before, "after": after})
        else:
            console.print(f"schema {before or 'none'} → {after}", highlight=False)
        return DONE

    run(command, as_json=as_json)


@app.command()
def verify(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Read every entry and compare chain, tables and anchored head; names the first that is wrong."""

    async def command() -> int:
        verdict = verify_ledger(ledger_place(load(config, secret_block=secret_block)))
        document: dict[str, Any] = {
            "ok": verdict.ok,
            "entries": verdict.entries,
            "head": verdict.head.hash,
            "entry": verdict.problem.seq if verdict.problem else None,
            "problem": verdict.problem.sentence if verdict.problem else None,
        }
        if as_json:
            show_json(document)
        elif verdict.ok:
            console.print(f"{verdict.entries} entries, whole; head {document['head']}", highlight=False)
        else:
            console.print(document["problem"], highlight=False, markup=False)
        return DONE if verdict.ok else SOME_FAILED

    run(command, as_json=as_json)
