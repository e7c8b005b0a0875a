"""How a flow is made: `@door("name")` on its function. Runs of earlier releases end in one line that says why."""

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from prefect import Flow, State, flow
from prefect.utilities.callables import parameter_schema

from retirement.errors import ConfigError
from retirement.flows.kit.ending import ending, run_name

#: Parameters of earlier releases, which retries, copies and schedules may still give, and what is there instead.
FORMER = {
    "config": "a run works with the configuration of the process that serves it",
    "output": "give the folder as partner_reports in the configuration",
}

Given = ParamSpec("Given")
Body = Callable[Given, Coroutine[Any, Any, State[Any]]]


def door(name: str) -> Callable[[Body[Given]], Flow[Given, Coroutine[Any, Any, State[Any]]]]:
    """Makes the flow of that name of a function, whose parameters are those that its form asks for.

    Prefect ends a run with a parameter that its function has not with a traceback; those of earlier releases are
    taken here and refused in one line, unless they are null. No schema has them: Prefect's server refuses them.
    """

    def made(body: Body[Given]) -> Flow[Given, Coroutine[Any, Any, State[Any]]]:
        shown = inspect.signature(body)

        @wraps(body)
        async def entered(*args: Given.args, **kwargs: Given.kwargs) -> State[Any]:
            former = [each for each in FORMER if kwargs.pop(each, None) is not None]
            if former:
                return await ending(lambda: _refuse(former))
            return await body(*args, **kwargs)

        taken = [
            inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any) for each in FORMER
        ]
        every = shown.replace(parameters=[*shown.parameters.values(), *taken])
        entered.__signature__ = every  # type: ignore[attr-defined]  # Prefect compares a run's parameters with it
        found = flow(name=name, flow_run_name=run_name, persist_result=False)(entered)
        found.__signature__ = shown  # type: ignore[attr-defined]  # inspect reads it there, and Prefect the schema by it
        found.parameters = parameter_schema(body)
        return found

    return made


async def _refuse(former: list[str]) -> State[Any]:
    text = "; ".join(f"{each}: is no parameter any more; {FORMER[each]}" for each in former)
    raise ConfigError(f"{text}; start a new run")
