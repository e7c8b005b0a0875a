"""`retirement partner-report`: tell course partners which of their learners are retired."""

from pathlib import Path
from typing import Annotated

import typer

from retirement.cli.command import Call, code_of, command
from retirement.cli.followed import followed
from retirement.cli.output import show_errors, tables
from retirement.cli.secrets import secret_block
from retirement.partners import report as partners
from retirement.partners.destination import destination_of
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ready
from retirement.site.stopping import finish_or_stop

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Folder for the files, which name learners: restrict the access to it; default partner_reports.",
        show_default=False,
    ),
]


@command()
async def partner_report(call: Call, output: OutputOption = None) -> int:
    """Write one file per organisation with its retired learners; each learner is in exactly one file."""
    async with ready(call.config, secret_block) as (configuration, site), followed(call, site.ledger):
        batch = site.batch()
        destination = destination_of(configuration, output)
        delivery = await finish_or_stop(partners.deliver(site, batch, destination), batch.stop)
    document = partners.document(delivery)
    files = tables(("file", "learners"), delivery.files.items())
    early = tables(("learner who is not retired yet", "since"), sorted(delivery.not_retired.items()))
    call.show(document, *files, *early, document["summary"])
    show_errors(document["errors"])
    return code_of(delivery.error, SOME_FAILED if document["errors"] else DONE)
