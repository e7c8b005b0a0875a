"""The command that tells course partners which of their learners are retired: partner-report."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from retirement import partners
from retirement.cli.output import ConfigOption, JsonOption, code_of, console, errors, run, show_json
from retirement.cli.secrets import secret_block
from retirement.engine import carefully
from retirement.partners import Delivery
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ready

OutputOption = Annotated[
    Path, typer.Option("--output", help="Folder for the files, which name learners: close it to everybody else.")
]


def partner_report(output: OutputOption, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Write one file per organisation with its learners who were retired; nobody is lost, nobody is in two files."""

    async def command() -> int:
        async with ready(config, secret_block) as (configuration, site):
            destination = partners.destination(output, configuration.lms.url)
            delivery = await carefully(partners.deliver(site, destination), site.stop)
        document = partners.document(delivery)
        if as_json:
            show_json(document)
        else:
            _show(delivery, document)
        for problem in document["errors"]:
            errors.print(problem, highlight=False, markup=False)
        if delivery.error:
            return code_of(delivery.error)
        return SOME_FAILED if document["errors"] else DONE

    run(command, as_json=as_json)


def _show(delivery: Delivery, document: dict[str, Any]) -> None:
    if delivery.files:
        table = Table("file", "learners")
        for name, learners in delivery.files.items():
            table.add_row(name, str(learners))
        console.print(table)
    console.print(document["summary"], highlight=False, markup=False)
