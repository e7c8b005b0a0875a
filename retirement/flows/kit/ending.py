"""The one way in and out of a flow: redacted logs, signals, the final state of an error, and the run's name.

A flow is `return await ending(body)`: the body says how it went well, and no flow catches an error of ours.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from prefect import State
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.states import Cancelled, Failed

from retirement.errors import ConfigError, Defect, RetirementError
from retirement.flows.kit.environment import operators_server
from retirement.flows.kit.stopping import stoppable
from retirement.privacy import redact_logs
from retirement.process import acting, is_unknown_way

Body = Callable[[], Coroutine[Any, Any, State[Any]]]
#: What a run has done before an error ended it: leaves its artifacts, and returns its summary, "" for nothing.
Account = Callable[[RetirementError], Awaitable[str]]


async def ending(body: Body, account: Account | None = None) -> State[Any]:
    """Runs the body of a flow and returns the final state: the body's own, or that of the error that ended it.

    Nothing is raised but a cancellation from above, once the body has ended: Prefect would store an exception with
    its text and its traceback, which may name a learner. `account` is called after an error.
    """
    redact_logs()
    try:
        operators_server()  # a worker has been given its address by the operator alone
        _require_no_variables()
        with _acting():
            return await stoppable(body)
    except RetirementError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - Prefect would store its text, which may name a learner
        failure = Defect.at(error)
    return state_of(failure, await account(failure) if account else "")


def _require_no_variables() -> None:
    """Raises `ConfigError` for a run that brings variables of ours, which are the serving process' to say.

    `serve` takes no variables of a run, and a worker does: this is no wall, for a variable can bring other code.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    given = ((run.job_variables if run else None) or {}).get("env") or {}
    if ours := sorted(each for each in given if each.startswith("RETIREMENT_")):
        raise ConfigError(f"job_variables: a run sets no {', '.join(ours)}; the process that serves it does")


def state_of(error: RetirementError, done: str = "") -> State[Any]:
    """The final state of a run that an error ended; `done` is the summary of what it had done before."""
    text = f"{error} ({done})" if done else str(error)
    make = Failed if error.consequence.is_failure else Cancelled
    return make(name=error.state, message=text)


def _acting() -> AbstractContextManager[None]:
    """What this run does came in by Prefect, unless a command has started it here."""
    context = FlowRunContext.get()
    if not is_unknown_way() or context is None or context.flow_run is None:
        return nullcontext()
    return acting("schedule" if context.flow_run.auto_scheduled else "prefect", str(context.flow_run.id))


def run_name() -> str:
    """The flow's name without `retire-`, with the learner's LMS user id, or the minute for which the run was due.

    The minute is the server's, so a run that is retried keeps its name.
    """
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        raise RuntimeError("only a flow run has a name")
    subject = (context.parameters or {}).get("user_id")
    return f"{context.flow.name.removeprefix('retire-')}-{subject or _minute(context.flow_run)}"


def _minute(run: FlowRun) -> str:
    """The minute, in UTC, for which a run was due; now where Prefect does not say."""
    due = run.expected_start_time or datetime.now(UTC)
    return f"{due.astimezone(UTC):%Y-%m-%d-%H-%M}"
