"""The command line. Commands have `--json`; exit codes are those of `retirement.reports`.

This package alone prints and exits. A command's module is imported when the command is called, and Prefect when its
server is up, since Prefect reads its settings at import.
"""

import logging
import os
import sys
import warnings
from typing import Annotated

import typer
from typer.core import TyperGroup

from retirement import __version__
from retirement.cli.late import LateCommand
from retirement.cli.names import hide_names
from retirement.cli.streams import complete_streams, lacking_files
from retirement.flows.kit.environment import PRIVACY_SETTINGS
from retirement.process import collect_rarely, without_core_dumps

#: Every command: its name, where it is, and the first sentence of its help.
COMMANDS = (
    LateCommand(
        "demo", "demo:demo", "Retire 25 simulated learners, hard cases among them, and stay up to show the runs."
    ),
    LateCommand("sandbox", "sandbox:sandbox", "Run a simulated Open edX platform until it is stopped."),
    LateCommand("serve", "serve:serve", "Keep server, UI and the scheduled flows running in the foreground."),
    LateCommand("ui", "ui:ui", "Open Prefect's UI in the browser of this account, signed in."),
    LateCommand(
        "doctor",
        "doctor:doctor",
        "Check file, token, permission, every state and route, clock and deadline; changes nothing.",
    ),
    LateCommand(
        "plan",
        "plan:plan",
        "Print the steps and the request of each; with --user-id, which steps that learner has passed.",
    ),
    LateCommand(
        "status",
        "status:status",
        "Show learners by state, and those who are overdue; or one learner, one address, the services.",
    ),
    LateCommand(
        "digest",
        "digest:digest",
        "Write the page of the day for the data-protection officer: queue, deadlines, services, holds, approvals.",
    ),
    LateCommand(
        "request",
        "request:request",
        "Have the LMS make a request to retire for an account, or for each of a file; shows them and asks first.",
    ),
    LateCommand(
        "retire-learner",
        "retire_learner:retire_learner",
        "Retire one learner now; shows the learner and asks first where a terminal is there.",
    ),
    LateCommand(
        "retire-queue", "retire_queue:retire_queue", "Retire all learners whose cool-off is over, one flow each."
    ),
    LateCommand(
        "reconcile", "reconcile:reconcile", "Return learners whose run died to the last end state that is proved."
    ),
    LateCommand(
        "redrive",
        "redrive:redrive",
        "Return ERRORED learners to the last end state that is proved; shows them and asks first.",
    ),
    LateCommand(
        "bulk-update",
        "bulk_update:bulk_update",
        "Move the rows of one state, requested between two days, to another state; shows them and asks first.",
    ),
    LateCommand(
        "replace-usernames",
        "replace_usernames:replace_usernames",
        "Give accounts new usernames in the LMS, then in each service and the forum; shows them and asks first.",
    ),
    LateCommand(
        "replay",
        "replay:replay",
        "Erase again the learners that a service has back from a backup; shows them and asks first.",
    ),
    LateCommand(
        "backfill",
        "backfill:backfill",
        "Do a step that was added for retired learners who went through without it; shows them and asks first.",
    ),
    LateCommand(
        "verify", "verify:verify", "Check pending erasures with each service; repeat those whose data is still there."
    ),
    LateCommand(
        "confirm", "confirm:confirm", "Close a receipt by hand: for a manual step, or a service without an API to ask."
    ),
    LateCommand(
        "certificate",
        "certificate:certificate",
        "Issue the signed certificate of one learner from the ledger; with --check, verify one, offline.",
    ),
    LateCommand(
        "residue",
        "residue:residue",
        "Look for what is left of one learner in the configured databases; reads only, prints places only.",
    ),
    LateCommand(
        "cleanup",
        "cleanup:cleanup",
        "Have the LMS delete the rows of learners who are long COMPLETE and whose certificate is complete.",
    ),
    LateCommand("archive", "cleanup:cleanup", "The old name of `cleanup`.", hidden=True),
    LateCommand(
        "cancel",
        "cancel:cancel",
        "Cancel the request of a learner who is still PENDING: the learner keeps the account.",
    ),
    LateCommand(
        "partner-report",
        "partner_report:partner_report",
        "Write one file per organisation with its retired learners; each learner is in exactly one file.",
    ),
    LateCommand(
        "expire-reports",
        "expire_reports:expire_reports",
        "Delete delivered files of partner reports that are old enough, and tell partners some days before.",
    ),
    LateCommand(
        "approve",
        "approve:approve",
        "Say yes to a queue run that a guard has stopped: it goes on, or the next run does.",
    ),
    LateCommand("reject", "approve:reject", "Say no to a queue run that a guard has stopped; no service is called."),
    LateCommand(
        "pause",
        "pause:pause",
        "Stop schedules until `resume`: their runs call no service; a run that a person starts goes on.",
    ),
    LateCommand(
        "resume",
        "pause:resume",
        "Start schedules again that `pause` has stopped; a pause in Prefect's UI is ended there.",
    ),
    LateCommand("hold", "hold:app", "Legal or operational reasons not to erase, with an end."),
    LateCommand("breaker", "breaker:app", "Stop calling a service, or call it again."),
    LateCommand(
        "automations", "automations:app", "What the Prefect server does by itself: end dead runs, tell operators."
    ),
    LateCommand("notifications", "notifications:app", "The channels by which operators are told."),
    LateCommand("ledger", "ledger:app", "The evidence: create, upgrade, sign and verify it."),
    LateCommand("config", "config:app", "Show, convert and check configuration files."),
)

_typer = typer.Typer(
    name="retirement",
    help="Retires learners of an Open edX site: one Prefect flow each, every step proved.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@_typer.callback()
def _retirement(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Retires learners of an Open edX site: one Prefect flow each, every step proved."""


@_typer.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _group() -> TyperGroup:
    group = typer.main.get_command(_typer)
    assert isinstance(group, TyperGroup)  # noqa: S101 - a callback makes it one
    for each in COMMANDS:
        group.add_command(each)
    return group


app = _group()


def main() -> None:
    """Entry point of the console script."""
    collect_rarely()
    complete_streams()
    if problem := lacking_files():
        sys.stderr.write(f"{problem}\n")
        sys.exit(2)
    hide_names()
    without_core_dumps()
    os.environ.update(PRIVACY_SETTINGS)
    # What Prefect logs while it runs our flows is in its UI; this terminal belongs to the command.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # Nor does it show what a handler meets, such as a log line that a server which is gone does not take.
    logging.raiseExceptions = False
    # That level does not reach the logger by which a slow server's backlog is announced.
    logging.getLogger("EventsWorker").setLevel(logging.CRITICAL)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app()
