"""Commands that do a job on many learners: a preview, a bound, a question, and then what came of each learner."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

import typer

from retirement import reports
from retirement.cli import findings
from retirement.cli.command import Call, code_of
from retirement.errors import RetirementError
from retirement.followup.job import Asked, Job, planned, require_few
from retirement.followup.move_back import Finding
from retirement.privacy.spool import Spool
from retirement.reports import DONE
from retirement.site import Stop
from retirement.site.stopping import collect, finish_or_stop

ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; kept in the ledger. Names no learner.")]
JobByOption = Annotated[str | None, typer.Option("--by", help="Your role or login; kept in the ledger.")]
AtMostOption = Annotated[
    int, typer.Option("--at-most", min=1, help="Where more learners are meant, nothing is done for any.")
]


@dataclass(frozen=True, slots=True)
class Consent:
    """What an operator has said before: who asks and why, None for a preview; how many at most; and yes or not yet."""

    asked: Asked | None
    at_most: int
    yes: bool

    @classmethod
    def of(cls, by: str | None, reason: str | None, *, at_most: int, yes: bool, dry_run: bool) -> "Consent":
        """From the options. Raises `ConfigError` where they do not say who asks and why, but for a preview."""
        return cls(None if dry_run else Asked.of(by, reason), at_most, yes)


async def play(call: Call, job: Job, consent: Consent, nothing: str) -> int:
    """Shows what a job would do, asks, does it and shows what came of it; the exit code.

    `nothing` is said where no learner is meant. Raises `GuardStopped` where there are too many.
    """
    found = Spool[Finding]()
    async for each in job.preview():
        found.append(each)
    meant = planned(found)
    error: RetirementError | None = None
    if meant and consent.asked:
        require_few(found, consent.at_most, "--at-most")
        if not (consent.yes or findings.agreed_to(f"{len(meant)} {job.sentence}: go on?", found)):
            return DONE
        done, error = await _collected(job.do(found, consent.asked))
        found = Spool(chain((each for each in found if each.user_id not in meant), done))
    findings.show(call, found, nothing, str(error).splitlines() if error else [])
    return code_of(error, reports.findings_code(found))


async def _collected(source: AsyncGenerator[Finding, None]) -> tuple[Spool[Finding], RetirementError | None]:
    """What came of the learners, and the error that ended it: what was done before it counts too."""
    found = Spool[Finding]()
    stop = Stop()
    try:
        await finish_or_stop(collect(found, source, stop), stop)
    except RetirementError as error:
        return found, error
    return found, None
