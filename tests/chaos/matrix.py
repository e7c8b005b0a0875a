"""The faults that were reproduced on the archived driver, cases A to J, and how each ends here.

Each case is one learner (or as many as it needs), one fault of the sandbox, real processes, and the outcome
that an operator would rather have had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.chaos.rounds import found
from tests.chaos.stage import ROUTES, steps
from tests.chaos.theatre import Changes, Ended, Theatre

UNENROLL, FORUM = ROUTES["RETIRING_ENROLLMENTS"][1], ROUTES["RETIRING_FORUMS"][1]
TOKEN = "/oauth2/access_token"
CLAIM = "/api/user/v1/accounts/retirement_partner_report/"
#: What a web server says that has no such route.
PAGE: dict[str, Any] = {"status": 404, "body": "<h1>Page not found</h1>"}
#: What a forum says that knows the route and not the learner.
NOBODY: dict[str, Any] = {"status": 404, "headers": {"content-type": ""}}
#: What the LMS says that knows the route, and no retirement of the learner.
NO_REQUEST: dict[str, Any] = {
    "status": 404,
    "body": '"No retirement request status for username."',
    "headers": {"content-type": "application/json"},
}

#: The runs of a case, and what is wrong with them.
Seen = Iterator[Ended | str]


@dataclass(frozen=True)
class Case:
    """What is injected, what operators would rather see than the archived driver's answer, and how to find out."""

    name: str
    injected: str
    better: str
    play: Callable[[Theatre], Seen]
    learners: int = 1
    changes: Changes = ()
    #: It takes the whole command, and that takes Prefect's server.
    whole: bool = False


@dataclass(frozen=True)
class Line:
    """One line of the matrix; no problems: the case ended as it should."""

    case: Case
    endings: str
    states: str
    problems: tuple[str, ...]


def matrix(theatre: Theatre, database: str, *, engine: bool) -> Iterator[Line]:
    """Plays the cases in turn; those that take the whole command only where there is an engine."""
    for case in CASES:
        if case.whole and not engine:
            continue
        theatre.open("line", database, case.learners, changes=case.changes, guard={"wait_hours": 0})
        runs: list[Ended] = []
        problems: list[str] = []
        for seen in case.play(theatre):
            (runs if isinstance(seen, Ended) else problems).append(seen)  # type: ignore[arg-type]  # sorted by kind
        problems += [*theatre.evidence.broken(), *theatre.told()]
        states = Counter(theatre.stage.states_now().values())
        yield Line(case, " → ".join(_ending(run) for run in runs), _counted(states), tuple(problems))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} × {what}" if count > 1 else what for what, count in counts.items())


def _ending(run: Ended) -> str:
    learners = _learners(run)
    return _counted(Counter(each["outcome"] for each in learners)) or f"exit {run.code}"


def _learners(run: Ended) -> list[dict[str, Any]]:
    said = run.document.get("learners", []) if run.out.startswith("{\n") else run.words
    return [each for each in said if "outcome" in each]


def _arm(theatre: Theatre, **fault: Any) -> None:
    theatre.stage.ask(lambda sandbox: sandbox.arm([fault]))


def _asked(theatre: Theatre, path: str, method: str = "POST") -> int:
    """How often a route was called since the learners came."""
    return theatre.stage.ask(
        lambda sandbox: sum((each["method"], each["path"]) == (method, path) for each in sandbox.requests)
    )


def _is(what: str, wanted: Any, seen: Any) -> Iterator[str]:
    if wanted != seen:
        yield f"{what}: {seen}, not {wanted}"


def _moves(theatre: Theatre) -> list[str]:
    return [patch.state for patch in theatre.watch.patches]


def _straight() -> list[str]:
    """The moves of a retirement in peace, state for state those of the archived driver."""
    return [*(state for step in steps("line") for state in (step["start"], step["end"])), "COMPLETE"]


def _retired_at_once(theatre: Theatre) -> Seen:
    run = theatre.play("worker")
    yield run
    yield from _is("exit code", 0, run.code)
    yield from found(theatre)


def _in_peace(theatre: Theatre) -> Seen:
    yield from _retired_at_once(theatre)
    yield from _is("moves", _straight(), _moves(theatre))


def _lost_reply(theatre: Theatre) -> Seen:
    _arm(theatre, service="lms", method="PATCH", path="update_retirement_status", after=True, drop=True)
    yield from _retired_at_once(theatre)
    # Read back and not repeated: no move is there twice.
    yield from _is("moves", _straight(), _moves(theatre))


def _rate_limited(theatre: Theatre) -> Seen:
    _arm(theatre, service="lms", path=UNENROLL, status=429, headers={"Retry-After": "2"})
    yield from _retired_at_once(theatre)
    yield from _is("calls of the step", 2, _asked(theatre, UNENROLL))
    yield from _is("waited for less than Retry-After", False, _waited(theatre) < 2.0)


def _waited(theatre: Theatre) -> float:
    """Seconds between the two calls of the step."""
    visit = theatre.stage.doors[0].visit
    times = [when for when, what in zip(visit.times, visit.requests, strict=True) if what.endswith(UNENROLL)]
    return times[-1] - times[0]


def _expired_token(theatre: Theatre) -> Seen:
    _arm(theatre, service="lms", path=UNENROLL, status=401, headers={"content-type": "application/json"}, body="{}")
    yield from _retired_at_once(theatre)
    yield from _is("tokens", 2, _asked(theatre, TOKEN))
    yield from _is("calls of the step", 2, _asked(theatre, UNENROLL))


def _errored_then_redriven(theatre: Theatre) -> Seen:
    _arm(theatre, service="lms", path=FORUM, status=409, headers={"content-type": "application/json"}, body="{}")
    first = theatre.play("worker")
    yield first
    yield from _is("states after the refusal", {"ERRORED"}, set(theatre.stage.states_now().values()))
    redriven = theatre.play("command", "redrive", "--yes", "--json")
    yield from _is("exit code of redrive", 0, redriven.code)
    yield from _is("states after redrive", {"ENROLLMENTS_COMPLETE"}, set(theatre.stage.states_now().values()))
    yield from _retired_at_once(theatre)
    yield from _is("calls of the step that was done", 1, _asked(theatre, UNENROLL))


def _lost_claim(theatre: Theatre) -> Seen:
    yield from _retired_at_once(theatre)
    _arm(theatre, service="lms", method="POST", path=CLAIM, after=True, drop=True)
    # Apart from everything that may name nobody: these files are for the partners.
    with TemporaryDirectory() as folder:
        reported = theatre.play("command", "partner-report", "--output", folder, "--json")
        again = theatre.play("command", "partner-report", "--output", folder, "--json")
        lines = [
            line for path in sorted(Path(folder).glob("*.csv")) for line in path.read_text("utf-8").splitlines()[1:]
        ]
    yield from _is("exit codes", (0, 0), (reported.code, again.code))
    yield from _is("claims that were lost", 1, len(reported.document["claims_lost"]))
    yield from _is("learners in the second report", 0, again.document["learners"])
    told = Counter(int(line.partition(",")[0]) for line in lines)
    # Each is in courses of two organisations, and so in one file of each.
    yield from _is("lines of each learner", dict.fromkeys(theatre.stage.user_ids.values(), 2), dict(told))
    yield from found(theatre)


def _differ_in_case(theatre: Theatre) -> Seen:
    run = theatre.play("worker")
    yield run
    elder, younger = theatre.stage.user_ids.values()
    handled = {each["user_id"]: each["outcome"] for each in _learners(run)}
    yield from _is("learners", {elder, younger}, set(handled))
    yield from _is("the elder", "retired", handled.get(elder))
    # Both hash to one retired name, so the LMS cannot rename the second account (contract, 1.6): a person has to.
    yield from _is("the younger", "errored", handled.get(younger))
    yield from _is("the younger's steps", set(ROUTES) - {"RETIRING_LMS"}, set(theatre.evidence.proved(younger)))


def _too_many(theatre: Theatre) -> Seen:
    run = theatre.play("command", "retire-queue", "--json")
    yield run
    yield from _is("exit code", 3, run.code)
    yield from _is("moves", [], _moves(theatre))


def _unenroll_404(theatre: Theatre) -> Seen:
    _arm(theatre, service="lms", method="POST", path=UNENROLL, **PAGE)
    stopped = theatre.play("worker")
    yield stopped
    yield from _is("states without the route", {"PENDING"}, set(theatre.stage.states_now().values()))
    _arm(theatre, service="lms", method="POST", path=UNENROLL, **NO_REQUEST)
    left = theatre.play("worker")
    yield left
    yield from _is("ERRORED", 0, _moves(theatre).count("ERRORED"))
    theatre.play("worker", "--reconcile")
    yield from found(theatre)


def _forum_404(theatre: Theatre) -> Seen:
    _arm(theatre, service="lms", path=FORUM, times=2, **PAGE)
    checked = theatre.play("command", "doctor", "--json")
    verdicts = {each["verdict"] for each in checked.document["checks"] if "FORUM" in each["name"].upper()}
    yield from _is("what doctor says of the forum", True, "failure" in verdicts)
    stopped = theatre.play("worker")
    yield stopped
    yield from _is("states without the route", {"ENROLLMENTS_COMPLETE"}, set(theatre.stage.states_now().values()))
    _arm(theatre, service="lms", method="POST", path=FORUM, **NOBODY)
    absent = theatre.play("worker")
    yield absent
    results = {step["step"]: step["result"] for each in _learners(absent) for step in each["steps"]}
    yield from _is("outcome of the forum", "absent", results.get("RETIRING_FORUMS"))


CASES = (
    Case("A", "nothing", "the baseline, state for state", _in_peace),
    Case("B", "PATCH done, reply lost", "read the state back; it stands: success", _lost_reply),
    Case("C", "a step answers 429 once, Retry-After 2", "wait as told, then go on", _rate_limited),
    Case("D", "a step answers 401 once", "renew the token once, then go on", _expired_token),
    Case("E", "a refusal, then redrive", "back to the last complete state, and on", _errored_then_redriven),
    Case("F", "partner-report reply lost", "claim in the ledger, then find who was flagged", _lost_claim, learners=2),
    Case(
        "G",
        "two usernames that differ in case",
        "key by user id: both are handled",
        _differ_in_case,
        learners=2,
        # The elder account is renamed already, so its name could be taken again.
        changes=(
            {"username": "Quetzal-Canary-001", "account_retired": True, "state": "LMS_COMPLETE"},
            {"username": "quetzal-canary-001"},
        ),
    ),
    Case("H", "500 wait, guard at its defaults", "compare the true depth: hold", _too_many, learners=500, whole=True),
    Case("I", "404 on unenroll: no route, then no request", "tell absent, route and host apart", _unenroll_404),
    Case("J", "404 on forum: no route, then nobody", "doctor sees it; only its own 404 is absent", _forum_404),
)
