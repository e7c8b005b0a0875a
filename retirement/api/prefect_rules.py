"""What may be asked of Prefect's server through the door, and which permission that needs. Pure.

Prefect reads by POST as often as by GET (`…/filter`, `…/count`), so a method says nothing: what may be asked is listed,
by method and path of its API (3.8), and everything else is refused for all. What is not listed on purpose: whatever
changes code or where it runs (deployments, blocks, work pools, automations), for that code would run as the service's
account; secrets (block documents); what workers ask; and records of runs, which are made by runs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_to_bytes

from retirement.ledger import Action


class Kind(Enum):
    """What a request does."""

    PAGE = "page"  #: a file of the UI
    SETTINGS = "settings"  #: where the UI finds its API
    READ = "read"
    FORM = "form"  #: looks a form over before it is submitted
    TYPED = "typed"  #: reads what people have typed into forms
    START = "start"
    ANSWER = "answer"
    MOVE = "move"  #: cancels a run, or has it tried again
    SCHEDULE = "schedule"  #: switches one schedule of a deployment
    PAUSE = "pause"  #: switches a deployment

    @property
    def changes(self) -> bool:
        """Whether something is another thing afterwards."""
        return self in (Kind.START, Kind.ANSWER, Kind.MOVE, Kind.SCHEDULE, Kind.PAUSE)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of request; `id` is what the path names, a run or a deployment."""

    kind: Kind
    id: str = ""

    def permits(self, may: frozenset[str]) -> bool:
        """Whether these permissions are enough, as far as the path alone tells."""
        if self.kind in (Kind.PAGE, Kind.SETTINGS, Kind.READ, Kind.FORM):
            return not may.isdisjoint({Action.VIEW.value, Action.MONITOR.value})
        if self.kind in (Kind.START, Kind.ANSWER, Kind.MOVE):
            # Which of them shows later, by the flow. A person without any is not to learn which runs there are.
            return not may.isdisjoint(_OF_RUNS)
        return Action.MONITOR.value in may


#: The permission to start a run of each flow, to have it tried again, and to answer what it asks.
OF_FLOWS: Mapping[str, Action] = {
    **dict.fromkeys(("retire-learner", "retire-queue", "request", "replace-usernames"), Action.RETIRE),
    **dict.fromkeys(("redrive", "bulk-update", "replay", "backfill"), Action.REDRIVE),
    "hold": Action.HOLD,
    **dict.fromkeys(("cleanup", "expire-texts"), Action.ARCHIVE),
    **dict.fromkeys(("partner-report", "expire-reports"), Action.REPORT),
    "manual-task": Action.CONFIRM,
    **dict.fromkeys(("reconcile", "verify-erasure", "breaker", "doctor", "digest"), Action.MONITOR),
}
#: Every permission that is one to do something with a run.
_OF_RUNS = frozenset({action.value for action in OF_FLOWS.values()} | {Action.APPROVE.value})
#: The beginning of the name of a pause that asks for an approval, whose flow is that of a queue run.
APPROVAL = "approval-"

_READ = {
    "GET": """
        /health /ready /version /hello /admin/version /block_capabilities/ /flow_run_states/ /task_run_states/
        /artifacts/{} /artifacts/{}/latest /automations/{} /automations/related-to/{} /block_schemas/{}
        /block_schemas/checksum/{} /block_types/{} /block_types/slug/{} /collections/views/{} /concurrency_limits/{}
        /concurrency_limits/tag/{} /deployments/{} /deployments/{}/schedules /deployments/{}/work_queue_check
        /deployments/name/{}/{} /events/filter/next /flow_run_states/{} /flow_runs/{} /flow_runs/{}/graph
        /flow_runs/{}/graph-v2 /flow_runs/{}/logs/download /flows/{} /flows/name/{} /saved_searches/{}
        /task_run_states/{} /task_runs/{} /ui/task_runs/{} /v2/concurrency_limits/{} /work_pools/{}
        /work_pools/{}/queues/{} /work_queues/{} /work_queues/{}/status /work_queues/name/{}
    """,
    "POST": """
        /artifacts/count /artifacts/filter /artifacts/latest/count /artifacts/latest/filter /automations/count
        /automations/filter /block_documents/count /block_schemas/filter /block_types/filter /concurrency_limits/filter
        /deployments/count /deployments/filter /deployments/paginate /events/count-by/{} /events/filter
        /flow_runs/count /flow_runs/filter /flow_runs/history /flow_runs/lateness /flow_runs/paginate /flows/count
        /flows/filter /flows/paginate /logs/filter /saved_searches/filter /task_runs/count /task_runs/filter
        /task_runs/history /task_runs/paginate /task_workers/filter /ui/flow_runs/count-task-runs /ui/flow_runs/history
        /ui/flows/count-deployments /ui/flows/next-runs /ui/task_runs/count /ui/task_runs/dashboard/counts
        /v2/concurrency_limits/filter /work_pools/count /work_pools/filter
        /work_pools/{}/concurrency_status /work_pools/{}/queues/filter /work_pools/{}/workers/filter
        /work_queues/filter /work_queues/{}/concurrency_status
    """,
}
_OTHERS = {
    Kind.TYPED: {
        "GET": "/admin/settings /flow_runs/{}/input/{} /variables/{} /variables/name/{}",
        "POST": "/flow_runs/{}/input/filter /variables/count /variables/filter",
    },
    Kind.FORM: {"POST": "/ui/schemas/validate"},
    Kind.START: {"POST": "/deployments/{}/create_flow_run"},
    Kind.ANSWER: {"POST": "/flow_runs/{}/resume"},
    Kind.MOVE: {"POST": "/flow_runs/{}/set_state"},
    Kind.SCHEDULE: {"PATCH": "/deployments/{}/schedules/{}"},
    Kind.PAUSE: {"POST": "/deployments/{}/pause_deployment /deployments/{}/resume_deployment"},
}
_API = "/api"
_SETTINGS = "/ui-settings"
#: What Prefect's server has beside its API and the UI that we show: a page of ours that signs a browser in, and the
#: newer UI, whose pages ask for more than is listed here.
_NO_PAGES = ("/api", "/retirement/", "/docs", "/redoc", "/openapi.json", "/v2")
#: One part of a path, decoded.
_PART = re.compile(r"(?!\.{1,2}$)[^/\\%\x00-\x1f\x7f-\x9f?#]{1,400}")
#: A path as it is sent: no part is empty, so that no program finds another path in it.
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")
#: Letters, digits and signs that need no encoding: what has them encoded is made to be read otherwise somewhere.
_NEEDLESS = re.compile(r"%(?:2[de]|3\d|[46][1-9a-f]|5[\daf]|7[\dae])", re.IGNORECASE)
_LONGEST_PATH = 2000
#: Websockets: what happens, and what is logged. `/events/in` takes events, so it is not there.
SOCKETS = frozenset({"/api/events/out", "/api/logs/out"})


def listed() -> dict[tuple[str, int], list[tuple[tuple[str, ...], Kind]]]:
    """The templates, by method and the number of their parts."""
    found: dict[tuple[str, int], list[tuple[tuple[str, ...], Kind]]] = {}
    for kind, by_method in {Kind.READ: _READ, **_OTHERS}.items():
        for method, paths in by_method.items():
            for path in paths.split():
                parts = tuple(path.split("/"))
                found.setdefault((method, len(parts)), []).append((parts, kind))
    return found


LISTED = listed()


def rule_of(method: str, path: str) -> Rule | None:
    """What a request does, by its method and its path as it was sent; None for what nobody may ask here."""
    parts = _parts(path)
    method = "GET" if method == "HEAD" else method
    if parts is None:
        return None
    if parts[:2] != ("", _API[1:]):
        return _page(method, "/".join(parts))
    within = ("", *parts[2:])
    for template, kind in LISTED.get((method, len(within)), ()):
        if all(wanted in (given, "{}") and given for wanted, given in zip(template[1:-1], within[1:-1], strict=True)):
            last, given = template[-1], within[-1]
            if last == given or (last == "{}" and given):
                return Rule(kind, within[2] if len(within) > 2 else "")
    return None


def _page(method: str, path: str) -> Rule | None:
    if method != "GET" or f"{path}/".lower().startswith(tuple(each.rstrip("/") + "/" for each in _NO_PAGES)):
        return None
    return Rule(Kind.SETTINGS if path == _SETTINGS else Kind.PAGE)


def _parts(path: str) -> tuple[str, ...] | None:
    """The decoded parts of a path; None for one that two programs may read differently."""
    if len(path) > _LONGEST_PATH or not path.startswith("/") or not _PATH.fullmatch(path) or _NEEDLESS.search(path):
        return None
    try:
        decoded = [unquote_to_bytes(each).decode("utf-8") for each in path.split("/")]
    except UnicodeDecodeError:
        return None
    return tuple(decoded) if all(not each or _PART.fullmatch(each) for each in decoded) else None
