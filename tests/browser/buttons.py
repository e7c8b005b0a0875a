"""What each button of Prefect's UI does to each kind of run: the table that `test_buttons` clicks through.

`python -m tests.browser.buttons` writes docs/reference/buttons.md from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "buttons.md"

#: The flows that are deployments, and how a run of each ends on a site where all is well.
FLOWS = {
    "queue": "Retired",
    "learner": "Retired",
    "request": "Previewed",
    "reconcile": "Reconciled",
    "verify": "Verified",
    "cleanup": "Previewed",
    "partner-report": "Reported",
    "expire-reports": "Previewed",
    "expire-texts": "Previewed",
    "redrive": "Previewed",
    "bulk-update": "Previewed",
    "replace-usernames": "Previewed",
    "replay": "Previewed",
    "backfill": "Previewed",
    "hold": "Placed",
    "breaker": "Closed",
    "doctor": "Well",
    "digest": "Written",
}
#: Those whose form has a field that must be filled in.
WITH_A_FORM = ("breaker",)
#: Those that ask on their page before they do anything, so that a run of theirs is Paused first.
SIGNED = ("hold", "breaker")
#: Kinds of runs that no deployment has made, so Prefect does not offer some buttons.
BELOW, ASKING, MANUAL = "learner of a queue run", "queue run that asks", "manual step"
KINDS = (*FLOWS, BELOW, ASKING, MANUAL)

NOT_OFFERED = "not offered"


@dataclass(frozen=True, slots=True)
class Button:
    """One button: where it stands, what it does, and for each kind the name of the state that follows."""

    name: str
    place: str
    does: str
    ends: dict[str, str]

    def of(self, kind: str) -> str:
        """The state after a click on a run of that kind."""
        return self.ends.get(kind, NOT_OFFERED)


def _flows(ends: dict[str, str] | str) -> dict[str, str]:
    return dict(FLOWS) if ends == "as ever" else dict.fromkeys(FLOWS, str(ends))


BUTTONS = (
    Button(
        "Quick run",
        "deployment",
        "Starts a run with the configuration's values; asks for the fields that must be filled in. A `hold` of nothing "
        "fails and says what it needs: *Custom run* has the fields.",
        {**_flows("as ever"), "hold": "ConfigError", "breaker": "Open"},
    ),
    Button(
        "Custom run",
        "deployment",
        "Shows the form of the parameters, checks them, and starts a run.",
        _flows("as ever"),
    ),
    Button(
        "Copy to new run",
        "run, once it has ended",
        "Shows the form with the parameters of this run, and starts another one.",
        _flows("as ever"),
    ),
    Button(
        "Retry",
        "run, once it has ended",
        "Runs it again under its id and name. A queue run takes up the learners who were ERRORED in it, and its "
        "message keeps the result of the try before; a learner's run goes on from the row in the LMS.",
        _flows("as ever"),
    ),
    Button(
        "Cancel",
        "run, while it goes on",
        "Steps that have begun end, learners under way are given back to the queue, and the run ends. A run that asks "
        "calls no service; its question stays open for `retirement approve` and the next queue run.",
        {**_flows("Stopped"), ASKING: "Stopped"},
    ),
    Button(
        "Suspend",
        "run, while it goes on (in the menu: Pause)",
        "The same as *Cancel*, within a few seconds. The run is not resumed; start a new one.",
        {**_flows("Stopped"), **dict.fromkeys(SIGNED, NOT_OFFERED)},
    ),
    Button(
        "Resume",
        "run, while it is Paused",
        "Shows the form. A complete answer is entered in the ledger; with *Approve* off the run ends as "
        "`GuardStopped`. The answer of a manual step is entered by the next run of `verify`.",
        {flow: FLOWS[flow] for flow in ("learner", *SIGNED)} | {ASKING: "Retired", MANUAL: "Running"},
    ),
    Button(
        "Change state",
        "run, once it has ended",
        "Changes what Prefect shows, and nothing else: no learner is moved, and the ledger stays as it is.",
        {**_flows("Failed"), BELOW: "Failed", ASKING: "Failed"},
    ),
    Button(
        "Delete",
        "run",
        "Deletes Prefect's record of the run; one that goes on stops within half a minute, as by *Cancel*. The "
        "evidence is in the ledger and stays; the form of a manual step is made again by the next run of `verify`.",
        {**_flows("gone from Prefect"), BELOW: "gone from Prefect", ASKING: "gone from Prefect"}
        | {MANUAL: "gone from Prefect"},
    ),
)

#: Buttons of a deployment that are about its schedule, and not about a run.
SCHEDULE = {
    "switch of a schedule": """
        No run is planned any more, also after a restart of `serve` and after `prefect deploy`. `retirement status`
        shows it; the same switch ends it. `retirement pause` is a pause with a reason.
    """,
    "Edit, of a schedule": """
        Runs are planned by the new cron line, also after a restart of `serve`; `prefect deploy` writes the line of
        `prefect.yaml` again.
    """,
}

#: Items of a deployment's menu.
DEPLOYMENT = {
    "Edit": """
        Runs without values of their own start with these parameters, until `serve` starts again or `prefect deploy`
        writes the deployment anew; `retirement.yaml` is the place for values that stay. Leave *Concurrency Limit*
        empty: Prefect would kill a run that asks.
    """,
    "Delete": """
        No run is planned any more, until `serve` starts again or `prefect deploy` makes the deployment again. Runs that
        have ended stay.
    """,
    "Duplicate": "Not offered for deployments of `serve`.",
}


def page() -> str:
    """The page for operators."""
    head = ["button", "where", *KINDS]
    rows = [[each.name, each.place, *(_cell(each.of(kind)) for kind in KINDS)] for each in BUTTONS]
    return "\n".join(
        [
            "# Buttons of Prefect's UI",
            "",
            "<!-- Written by `python -m tests.browser.buttons`; do not edit. -->",
            "",
            "What follows a click, by kind of run; a test clicks each of them in Chromium.",
            "A cell is the name of the run's state in the end, on a site where all is well.",
            "A run of `learner` first asks on its page which learner is meant and whether to go on.",
            "One of `hold` and of `breaker` asks there who does it and why.",
            "`breaker` stops calling a service where the table says `Open`, and calls it again where it says `Closed`.",
            f"*{NOT_OFFERED}*: Prefect shows no such button, or a button that is switched off.",
            "",
            *_table(head, rows),
            "",
            "## What they do",
            "",
            *_table(["button", "what it does"], [[each.name, each.does] for each in BUTTONS]),
            "",
            "## Schedules",
            "",
            *_table(["button", "what it does"], [[name, " ".join(text.split())] for name, text in SCHEDULE.items()]),
            "",
            "## Deployments",
            "",
            *_table(["item", "what it does"], [[name, " ".join(text.split())] for name, text in DEPLOYMENT.items()]),
            "",
            "No button moves a learner in the LMS except through a run, and none changes the ledger's evidence.",
            "",
        ]
    )


def _cell(state: str) -> str:
    return f"*{state}*" if " " in state else f"`{state}`"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(each) + " |" for each in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
