"""The command line. Every command has `--json`; exit codes are those of `retirement.reports`.

This package alone prints and exits. Prefect is imported by a command when its server is up, since Prefect
reads its settings at import.
"""

import logging
import os
import sys
import warnings

import typer

from retirement import __version__
from retirement.cli import (
    answers,
    archiving,
    breakers,
    certificate,
    configuration,
    evidence,
    holds,
    local,
    mending,
    partners,
    residue,
    runs,
    site,
    status,
    verification,
)
from retirement.cli.output import console, without_names

app = typer.Typer(
    name="retirement",
    help="Retires learners of an Open edX site: one Prefect flow each, every step proved.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(local.demo)
app.command("sandbox")(local.sandbox)
app.command("serve")(local.serve)
app.command("doctor")(site.doctor)
app.command("plan")(site.plan)
app.command("status")(status.status)
app.command("retire-learner")(runs.retire_learner)
app.command("retire-queue")(runs.retire_queue)
app.command("reconcile")(mending.reconcile)
app.command("redrive")(mending.redrive)
app.command("verify")(verification.verify)
app.command("confirm")(verification.confirm)
app.command("certificate")(certificate.certificate)
app.command("residue")(residue.residue)
app.command("archive")(archiving.archive)
app.command("cancel")(mending.cancel)
app.command("partner-report")(partners.partner_report)
app.command("approve")(answers.approve)
app.command("reject")(answers.reject)
app.add_typer(holds.app, name="hold")
app.add_typer(breakers.app, name="breaker")
app.add_typer(evidence.app, name="ledger")
app.add_typer(configuration.app, name="config")


@app.callback()
def _version() -> None:
    """Retires learners of an Open edX site: one Prefect flow each, every step proved."""


@app.command("version")
def version() -> None:
    """Print the version."""
    console.print(__version__, highlight=False)


#: Options whose value is what a learner is called.
NAMING = ("--username", "--email")


def _hide_names() -> None:
    """Starts this command anew with the name of a learner on its standard input, and `-` in its place.

    Nobody should have to know that arguments are seen by everybody on the machine for as long as a run lasts.
    """
    given = sys.argv[1:]
    arguments, name = without_names(given, NAMING)
    if name is None or sys.orig_argv[-len(given) :] != given:
        return
    reading, writing = os.pipe()
    os.write(writing, f"{name}\n".encode())
    os.close(writing)
    os.dup2(reading, sys.stdin.fileno())
    os.execv(sys.executable, [*sys.orig_argv[: -len(given)], *arguments])  # noqa: S606 - the same command again


def main() -> None:
    """Entry point of the console script."""
    _hide_names()
    # What Prefect logs while it runs our flows is in its UI; this terminal belongs to the command.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    # That level does not reach the logger by which a slow server's backlog is announced.
    logging.getLogger("EventsWorker").setLevel(logging.CRITICAL)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app()
