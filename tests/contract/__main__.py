"""`make contract`: every registered operation in every situation, as a table.

    python -m tests.contract [--service NAME …] [--write]

`--write` writes docs/reference/requests.md instead. Ends with 1 when anything fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.contract.catalogue import SITUATIONS
from tests.contract.recording import PAGE, page
from tests.contract.subjects import subjects
from tests.contract.suite import FAILS, NOT_APPLICABLE, Result, judged, table


def main() -> int:
    """Judges what was asked for and prints it."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--service", action="append", help="only this service; may be given again")
    parser.add_argument("--write", action="store_true", help="write docs/reference/requests.md instead")
    chosen = parser.parse_args()
    if chosen.write:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    wanted = [each for each in subjects() if not chosen.service or each.service in chosen.service]
    results = [judged(subject, situation) for subject in wanted for situation in SITUATIONS]
    _say(table(results))
    failed = [each for each in results if each.word == FAILS]
    _say(["", "+ holds   · not applicable   X fails", ""])
    _say(_reasons(each for each in results if each.word == NOT_APPLICABLE))
    _say([f"FAILS  {each.subject}: {each.situation}: {each.reason}" for each in failed])
    _say([f"{len(wanted)} operations, {len(SITUATIONS)} situations, {len(failed)} failures"])
    return 1 if failed else 0


def _reasons(results: Sequence[Result]) -> list[str]:
    """Why situations are not applicable, each reason of an operation once."""
    why: dict[tuple[str, str], list[str]] = {}
    for each in results:
        why.setdefault((each.subject, each.reason), []).append(each.situation)
    return [f"·  {name}: {reason} ({', '.join(situations)})" for (name, reason), situations in why.items()]


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
