"""Seeds: any number of plausible learners, and twenty-five that cover the hard cases of the contract.

Usernames, e-mails and names are unmistakable: a search through stores and logs finds each copy of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Learner = dict[str, Any]

#: Several, as on a real site: a queue that is all of one domain is what a guard asks about.
_DOMAINS = ("mail.example", "post.example", "inbox.example")


def _orgs(*names: str, active: bool = True) -> list[dict[str, Any]]:
    return [{"org": name, "active": active} for name in names]


def learners(n: int, states: Sequence[str] | None = None, *, everywhere: bool = False) -> dict[str, Any]:
    """A seed of n learners in PENDING who hold something in every service of the default pipeline, or everywhere."""
    others = {"vendors": "all", "ecommerce": True, "discovery": True} if everywhere else {}
    listed = [
        {
            "username": f"zoe-canary-{number:04}",
            "email": f"zoe.canary.{number:04}@{_DOMAINS[number % len(_DOMAINS)]}",
            "name": f"Zoë Canary{number:04}",
            "state": "PENDING",
            "requested_days_ago": 30,
            "enrollments": _orgs("OrgA", *(("OrgB",) if number % 2 else ())),
            "notes": 1 + number % 3,
            "proctoring": 1,
            "credentials": True,
            "licenses": ["activated"],
            **others,
        }
        for number in range(1, n + 1)
    ]
    return {"learners": listed} | ({"states": list(states)} if states else {})


#: What a learner no longer holds who has passed a state: the step before it is done.
_DONE: dict[str, Learner] = {
    "EMAIL_LISTS_COMPLETE": {},
    "ENROLLMENTS_COMPLETE": {"enrollments": _orgs("OrgA", active=False)},
    "FORUMS_COMPLETE": {"forum": False},
    "NOTES_COMPLETE": {"notes": 0},
    "PROCTORING_COMPLETE": {"proctoring": 0},
    "PARTNER_QUEUE_COMPLETE": {"partner_report": "queued"},
    "CREDENTIALS_COMPLETE": {"credentials": False},
    "LICENSES_COMPLETE": {"licenses": [], "license_user": False},
}


def _half_way(states: Sequence[str], share: float) -> Learner:
    """A learner left after one of the steps; in PENDING where the list has no such state."""
    known = [state for state in states if state in _DONE]
    if not known:
        return {}
    state = known[int(share * (len(known) - 1))]
    passed = states[: states.index(state) + 1]
    held = {key: value for done in passed for key, value in _DONE.get(done, {}).items()}
    return {"state": state, "last_state": passed[-2], **held}


def _learner(username: str, name: str, why: str, **differing: Any) -> Learner:
    """A learner who holds something everywhere, but for what differs."""
    mailbox = "".join(c for c in username if c.isascii() and (c.isalnum() or c in ".-+")) or "learner"
    return {
        "username": username,
        "email": f"{mailbox}@canary-mail.example",
        "name": name,
        "state": "PENDING",
        "requested_days_ago": 30,
        "enrollments": _orgs("OrgA"),
        "notes": 2,
        "proctoring": 1,
        "credentials": True,
        "licenses": ["activated"],
        "why": why,
        **differing,
    }


def demo(states: Sequence[str]) -> dict[str, Any]:
    """A seed of twenty-five learners, each with the reason (`why`) for its being there.

    Two whose names differ only in case are not among them: that retirement cannot end well (lms.md 1.6).
    """
    listed = [*_names(), *_learning(), *_services(), *_histories(states)]
    return {"states": list(states), "learners": listed}


def _names() -> list[Learner]:
    return [
        _learner("ana.gomez+x", "Ana Gómez-Canario", "a dot and a plus: `+` must be percent-encoded in paths"),
        _learner("bo jensen canary", "Bo Jensen-Kanarie", "spaces, from an old account"),
        _learner("carla@campus-canary", "Carla Kampus-Kanari", "an at sign, from third-party sign-on"),
        _learner("d.o.t.s-canary", "Dorota Kanarek-Kropka", "many dots"),
        _learner("zoë-canary-05", "Zoë Kanarienvogel", "letters outside ASCII"),
        _learner("学习者-canary-06", "金丝雀-六", "no Latin letters"),
        _learner("faye/canary-07", "Faye Slash-Canary", "a slash: no path carries it, bodies do (lms.md 1.5)"),
        _learner(
            "Wanda-CANARY-08",
            "Wanda Majuskel-Kanarie",
            "capitals: hashes go by lower case, look-ups by the exact spelling",
            email="Wanda.Canary.08@Canary-Mail.example",
        ),
        _learner(
            "tove-canary-09",
            "Tòve-Marïe Ó'Kanárie d'Ávila-Ñandú l’Oiseau " + "van der Kanarienvogelszüchterinnen " * 4 + "IX",
            "a long name with accents and both kinds of apostrophe",
        ),
        _learner("xiu-canary-10", "", "no profile name at all"),
    ]


def _learning() -> list[Learner]:
    return [
        _learner("gus-canary-11", "Gus Kanarie-Elf", "no enrollments: 204, and no partner report", enrollments=[]),
        _learner(
            "hilda-canary-12",
            "Hilda Kanarie-Zwölf",
            "several organisations, one of them twice, one inactive",
            enrollments=[*_orgs("OrgA", "OrgB", "OrgA"), *_orgs("OrgC", active=False)],
        ),
        _learner(
            "ines-canary-13",
            "Inés Canario-Trece",
            "a blank organisation is not reported",
            enrollments=_orgs(""),
        ),
        _learner(
            "jo-canary-14",
            "Jo Kanarie-Veertien",
            "inactive enrollments only: 204, but a partner report",
            enrollments=_orgs("OrgA", active=False),
        ),
        _learner(
            "uma-canary-15",
            "Uma Kanarie-Femten",
            "sixty enrollments: a slow step on the real platform",
            enrollments=_orgs(*(f"Org{number % 7}" for number in range(60))),
        ),
    ]


def _services() -> list[Learner]:
    return [
        _learner("karl-canary-16", "Karl Kanarie-Sexten", "never used the forum: 404 is success", forum=False),
        _learner("lena-canary-17", "Lena Kanarie-Sytten", "no notes and no proctoring", notes=0, proctoring=0),
        _learner(
            "mo-canary-18",
            "Mo Kanarie-Atten",
            "a licence assigned by e-mail only: it keeps the address (services.md A4)",
            licenses=["assigned"],
        ),
        _learner(
            "nia-canary-19",
            "Nia Kanarie-Nitten",
            "licences but no user of that name: 404 after the work",
            license_user=False,
        ),
        _learner(
            "olu-canary-20",
            "Olu Kanarie-Tyve",
            "unknown to credentials; a revoked licence keeps the LMS id",
            credentials=False,
            licenses=["activated", "revoked"],
        ),
    ]


def _histories(states: Sequence[str]) -> list[Learner]:
    retired = {"account_retired": True, "enrollments": _orgs("OrgA", active=False)}
    return [
        _learner("pia-canary-21", "Pia Kanarie-Halv", "left after the first step", **_half_way(states, 0.0)),
        _learner("qadir-canary-22", "Qadir Kanarie-Midt", "left half-way", **_half_way(states, 0.5)),
        _learner("rosa-canary-23", "Rosa Kanarie-Slut", "left near the end", **_half_way(states, 1.0)),
        _learner("sven-canary-24", "Sven Kanarie-Omdøpt", "the account was renamed by an earlier run", **retired),
        _learner(
            "viggo-canary-25",
            "Viggo Kanarie-Kø",
            "waits for a partner report already",
            partner_report="queued",
        ),
    ]
