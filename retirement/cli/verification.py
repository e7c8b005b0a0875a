"""Commands that follow erasures up: ask the services, and take a person's word."""

from typing import Annotated

import typer
from rich.table import Table

from retirement import confirmation, reports
from retirement.cli.output import (
    LARGEST_ID,
    ByOption,
    ConfigOption,
    JsonOption,
    UserIdOption,
    console,
    require_keepable,
    run,
    show_json,
)
from retirement.cli.secrets import secret_block
from retirement.config import load
from retirement.confirmation import CONFIRMED, Checked
from retirement.errors import ConfigError
from retirement.ledger import opened as opened_ledger
from retirement.reports import DONE
from retirement.site import ledger_place, opened


def verify(
    user_id: UserIdOption = None,
    every: Annotated[bool, typer.Option("--all", help="Ask about every open receipt now, due or not.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the services whether they have erased whom they said they would; erase again who came back."""

    async def command() -> int:
        # Nobody is asked beforehand: one service with a wrong key must not keep the others from answering.
        async with opened(load(config, secret_block=secret_block)) as site:
            found = [each async for each in confirmation.confirm(site, user_id=user_id, every=every)]
        if as_json:
            show_json({"receipts": [reports.checked(each) for each in found]})
        else:
            if found:
                console.print(_table(found))
            console.print(reports.checked_summary(found), highlight=False)
        return reports.checked_code(found)

    run(command, as_json=as_json)


def _table(found: list[Checked]) -> Table:
    table = Table()
    for heading in ("receipt", "learner", "step", "service", "what", "overdue", "text"):
        table.add_column(heading, overflow="fold")
    for each in found:
        table.add_row(*("yes" if cell is True else "" if cell is False else str(cell) for cell in _cells(each)))
    return table


def _cells(each: Checked) -> list[object]:
    return list(reports.checked(each).values())


def confirm(
    receipt: Annotated[int, typer.Option("--receipt", min=1, max=LARGEST_ID, help="Number of the receipt.")],
    evidence: Annotated[str, typer.Option("--evidence", help="What proves it, such as a ticket. Names nobody.")],
    by: ByOption,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a receipt by what a person saw: a manual step that is done, or a service that nobody can ask."""

    async def command() -> int:
        require_keepable(evidence=evidence, by=by)
        async with opened_ledger(ledger_place(load(config, secret_block=secret_block))) as ledger:
            if receipt not in {each.id for each in await ledger.receipts(open_only=True) if each.operation}:
                raise ConfigError(
                    f"--receipt: there is no open receipt {receipt}; `retirement verify --all` lists them"
                )
            await ledger.receipt_checked(receipt, result=CONFIRMED, confirmed=True, evidence=(evidence, by))
        if as_json:
            show_json({"receipt": receipt, "result": CONFIRMED})
        else:
            console.print(f"receipt {receipt} is confirmed by {by}", highlight=False)
        return DONE

    run(command, as_json=as_json)
