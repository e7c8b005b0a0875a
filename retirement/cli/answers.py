"""Commands that answer a queue run which a guard has paused: approve and reject."""

from typing import Annotated

import typer

from flows.server import running
from retirement.cli.output import JsonOption, console, require_keepable, run, show_json
from retirement.reports import DONE

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of the paused run, as in its page's address.")]
ApproverOption = Annotated[str, typer.Option("--approver", help="Who answers for this; kept in the ledger.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger. Names no learner.")]


def approve(
    run_id: RunArgument,
    approver: ApproverOption,
    reason: ReasonOption,
    at_most: Annotated[
        int, typer.Option("--at-most", min=0, help="Most learners to retire; 0: as many as the run asks for.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Let a run that a guard has paused go on."""
    _answer(run_id, True, approver, reason, at_most, as_json=as_json)


def reject(run_id: RunArgument, approver: ApproverOption, reason: ReasonOption, as_json: JsonOption = False) -> None:
    """End a run that a guard has paused; nobody is called."""
    _answer(run_id, False, approver, reason, 0, as_json=as_json)


def _answer(run_id: str, approved: bool, approver: str, reason: str, how_many: int, *, as_json: bool) -> None:
    async def command() -> int:
        require_keepable(approver=approver, reason=reason)
        async with running():
            # Prefect reads its settings at import, and they are known since the server is up.
            from flows.approval import Answer, answer

            await answer(run_id, Answer(approved, approver, reason, how_many))
        said = "approved" if approved else "rejected"
        if as_json:
            show_json({"run": run_id, "answer": said})
        else:
            console.print(f"run {run_id}: {said}", highlight=False)
        return DONE

    run(command, as_json=as_json)
