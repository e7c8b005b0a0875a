"""`python -m tests.simulation.mutants`: takes one guard at a time out of the code; the simulation has to notice.

A mutant is a copy of the package with one text replaced. A text that is not found, or found twice, is an
error, so that the list cannot rot. Where a second guard stands behind the first, the end is the same without the
first; those say which it is, and those that few seeds come by name the test that notices them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .story import play

ROOT = Path(__file__).parents[2]
#: Seeds after which a mutant counts as unnoticed.
SEEDS = 400


@dataclass(frozen=True)
class Mutant:
    """One guard, and the same place without it.

    `behind`: what catches the same, so that no seed need notice; `test`: what notices, where too few seeds come by.
    """

    guard: str
    file: str
    old: str
    new: str
    behind: str = ""
    test: str = ""

    def applied(self, text: str) -> str:
        """The file without the guard; raises `LookupError` where the text is not there exactly once."""
        if text.count(self.old) != 1:
            raise LookupError(f"{self.guard}: the text is {text.count(self.old)} times in {self.file}, not once")
        return text.replace(self.old, self.new)


MUTANTS = (
    Mutant(
        "the intent before the call",
        "retire/learner_run.py",
        "if await lease.intend(step.name, step.service, step.operation):",
        "if False:",
    ),
    Mutant(
        "the outcome before the end state",
        "retire/learner_run.py",
        "        await lease.prove(step.name, erasure.outcome.value, given)\n        return erasure.outcome",
        "        return erasure.outcome",
    ),
    Mutant(
        "what a restored LMS has lost is done again",
        "retire/opening.py",
        "if lost := restored(pipeline, row, lease.row_before):",
        "if lost := []:",
        test="tests/unit/test_restored_lms.py::test_a_row_from_before_every_run_has_all_of_it_done_again",
    ),
    Mutant(
        "what a restored LMS has lost is done again after a move back",
        "followup/move_back.py",
        "if lost := restored(site.pipeline, row, lease.row_before):",
        "if lost := []:",
        test="tests/unit/test_restored_lms.py::test_an_errored_row_from_a_backup_goes_back_without_what_came_after",
    ),
    Mutant(
        "a half erased learner stays in sight",
        "ledger/unended.py",
        "or_(ending.is_(None), waits, half), has_begun]",
        "or_(ending.is_(None), waits), has_begun]",
        test="tests/unit/test_half_erased.py::test_a_row_that_was_aborted_half_way_is_named_after_its_last_run_too",
    ),
    Mutant("finished steps are skipped", "retire/learner_run.py", "if step.name in self._done:", "if False:"),
    Mutant(
        "stop before the next call",
        "site/batch.py",
        "        check()\n        self.stop.ensure_unset()",
        "        check()",
    ),
    Mutant(
        "a hold keeps the learner",
        "retire/opening.py",
        "if hold.service is None), None)",
        "if False), None)",
        behind="the intent asks for holds as well",
    ),
    Mutant("steps are voided after a restore", "retire/opening.py", "again = behind(", "again = [] and behind("),
    Mutant(
        "a row that is behind is noticed",
        "pipeline/proof.py",
        "    if order.index(state) >= order.index(proved):",
        "    if True:",
    ),
    Mutant(
        "the fence in the ledger",
        "ledger/learner_lease.py",
        "        require_ours(tx, self.lease)",
        "        pass",
    ),
    Mutant(
        "the lease is exclusive",
        "ledger/leases.py",
        "if row and _is_held(tx, row):",
        "if False:",
    ),
    Mutant("leases are renewed", "ledger/leases.py", "                await self.renew()", "                pass"),
    Mutant(
        "a lost lease is noticed here",
        "ledger/leases.py",
        "if deadline is None or self._access.ticks() >= deadline:",
        "if False:",
    ),
    Mutant(
        "an open breaker keeps callers away",
        "ledger/breakers.py",
        "if row is None or row.state == CLOSED:\n        return False\n    if _waits",
        "return False\n    if _waits",
    ),
    Mutant(
        "a look before a forced move",
        "lms/rows.py",
        "doubtful = force or state == ERRORED",
        "doubtful = False",
        test="tests/unit/test_moves.py::test_a_forced_move_that_is_done_already_sends_nothing",
    ),
    Mutant("the read-back after a lost move", "lms/rows.py", "lost = lost or error.in_doubt", "lost = False"),
    Mutant(
        "a request that was taken back",
        "lms/rows.py",
        "                    raise _gone(learner, since) from None\n                except Refused",
        "                    return\n                except Refused",
        behind="the row is read right before the first call",
    ),
    Mutant(
        "a row is never ahead of the lowest step",
        "pipeline/watermark.py",
        "return None if self.state == lowest.start else lowest.start",
        "return None if self.state == step.start else step.start",
    ),
    Mutant(
        "a forced move is in the ledger first",
        "retire/lms_row.py",
        "                await lease.moved(self.state, target, text)\n",
        "",
    ),
    Mutant("429 passes", "wire/reply.py", "_PASSING = frozenset({408, 425, 429})", "_PASSING = frozenset({408, 425})"),
    Mutant(
        "an expired token is renewed",
        "wire/auth.py",
        'if response.status_code in request.extensions.get("renew_on", UNAUTHORIZED):',
        "if False:",
        behind="the next run fetches a token of its own",
    ),
    Mutant(
        "200 with failures is no success",
        "connectors/shared/renaming.py",
        "    if found.failed:\n",
        "    if found.failed is None:\n",
        behind="the results have to name the learner",
    ),
    Mutant(
        "a learner given back goes to the proved state",
        "retire/lms_row.py",
        "target = self._mark.proved",
        'target = "PENDING"',
        behind="the ledger knows the finished steps, and they are skipped",
    ),
    Mutant("least slack first", "queue/forecast.py", "return sorted(learners, key=urgency)", "return list(learners)"),
    Mutant(
        "rows in states that no step has are watched",
        "site/watch.py",
        "    known = [*site.pipeline.lms_states, *site.lms_states, *usual_states(site.connectors), *met, *ends]\n",
        "    known = [*site.pipeline.lms_states]\n",
    ),
    Mutant(
        "the reconciler proves where to",
        "pipeline/proof.py",
        "place = next((place for place, step in enumerate(pipeline) if step.start == state), None)",
        "place = next((place + 1 for place, step in enumerate(pipeline) if step.start == state), None)",
    ),
    Mutant(
        "another 2xx is no success",
        "wire/api.py",
        "        if success is None or success.shown_by(reply):",
        "        if True:",
    ),
    Mutant(
        "the answer to a move is the LMS' own",
        "lms/rows.py",
        'if reply.ok and reply.kind in ("empty", "json") and (reply.status, reply.kind) != (204, "empty"):',
        "if False:",
        behind="COMPLETE is read back, and the LMS refuses calls for a row in another state",
    ),
    Mutant("COMPLETE is read back", "retire/learner_run.py", "        await self._ensure_proved()\n", ""),
    Mutant(
        "a lease of a wrong clock is not believed",
        "ledger/leases.py",
        " and tx.is_believable(row.expires_at, LONGEST_SECONDS)",
        "",
    ),
    Mutant(
        "a breaker of a wrong clock is not believed",
        "ledger/breakers.py",
        "return time > tx.now and tx.is_believable(time, longest)",
        "return time > tx.now",
        test="tests/ledger/test_clock.py::test_breakers_of_a_wrong_clock_are_probed",
    ),
    Mutant(
        "a ledger that left its place is not written",
        "ledger/ledger.py",
        "        writer.before_commit = file.require_in_place\n",
        "",
    ),
    Mutant(
        "a ledger behind its anchor is not opened",
        "ledger/verification.py",
        "    if anchor.seq > head.seq:\n        raise",
        "    if anchor.seq > head.seq:\n        return head\n        raise",
    ),
    Mutant(
        "a row is taken back for a new step",
        "retire/opening.py",
        "before - lease.finished.keys() if lease.of_another_pipeline else frozenset()",
        "frozenset[str]()",
    ),
    Mutant(
        "a step that calls something else is done anew",
        "retire/opening.py",
        "(other := called_otherwise(pipeline, lease.calls))",
        "(other := [] and called_otherwise(pipeline, lease.calls))",
        test="tests/unit/test_edited_pipelines.py::test_a_step_whose_states_are_used_for_another_call_is_done_anew",
    ),
    Mutant(
        "the last run that tried a step tells the pipeline",
        "ledger/runs.py",
        ' and event.facts["fence"] in tried',
        "",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """How a mutant fared: the seed that noticed it and the invariant that broke, or neither."""

    seed: int | None
    invariant: str


def survey(mutant: Mutant, seeds: int, jobs: int) -> Outcome:
    """Plays seeds against a mutant until one of them notices; seeds that fail anyway do not count."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        package = Path(folder, "retirement")
        shutil.copytree(ROOT / "retirement", package, ignore=shutil.ignore_patterns("__pycache__"))
        target = package / mutant.file
        target.write_text(mutant.applied(target.read_text(encoding="utf-8")), encoding="utf-8")
        first = 0
        while first < seeds:
            outcome = _attacked(mutant, folder, first, seeds - first, jobs)
            if outcome.seed is None or not play(outcome.seed).problems:
                return outcome
            first = outcome.seed + 1
    return Outcome(None, "")


def _attacked(mutant: Mutant, folder: str, first: int, seeds: int, jobs: int) -> Outcome:
    options = {"--jobs": jobs, "--from": first, "--seeds": seeds}
    command = [sys.executable, "-m", "tests.simulation", "--stop"]
    command += [str(part) for option in options.items() for part in option]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    # In that folder, because the working directory comes first on the path.
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"^seed (\d+): ([^:]*)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) or (done.returncode == 1) != bool(found):
        raise RuntimeError(f"{mutant.guard}: the simulation itself failed:\n{done.stderr[-2000:]}")
    return Outcome(int(found[1]), found[2]) if found else Outcome(None, "")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Prints the table; 1 when a mutant went unnoticed, and neither a second guard nor a test of its own is there."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds for each (default {SEEDS})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--only", default="", help="only guards whose name holds this text")
    asked = parser.parse_args()
    unnoticed = 0
    _say(f"{'guard taken out':50} {'noticed at seed':>15}  invariant")
    for mutant in MUTANTS:
        if asked.only in mutant.guard:
            outcome = survey(mutant, asked.seeds, asked.jobs)
            unnoticed += outcome.seed is None and not (mutant.behind or mutant.test)
            seed = "never" if outcome.seed is None else str(outcome.seed)
            _say(f"{mutant.guard:50} {seed:>15}  {outcome.invariant or mutant.test or mutant.behind}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
