"""The signs of life of the runs below another one: one thread for all of them."""

import threading
from collections import Counter
from contextvars import ContextVar
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun

from retirement.flows.kit.below import Pulse
from tests.patient import until

_where: ContextVar[str] = ContextVar("where", default="nowhere")


class Signs:
    """What was said, by the name of the run, and by which threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.threads: set[str] = set()
        self.contexts: set[str] = set()

    def emit(self, run: FlowRun, flow: str) -> None:
        assert flow == "retire-learner"
        self.counts[str(run.name)] += 1
        self.threads.add(threading.current_thread().name)
        self.contexts.add(_where.get())


def learner(number: int) -> FlowRun:
    return FlowRun(flow_id=uuid4(), name=f"learner-{number}")


def test_one_thread_sends_signs_of_life_of_every_run_until_it_ends() -> None:
    """Each from the context of its run, from which Prefect takes what an event is related to."""
    signs = Signs()
    pulse = Pulse(signs.emit, lambda: 0.01)

    with pulse.of(learner(1), "retire-learner"):
        _where.set("below the first")
        with pulse.of(learner(2), "retire-learner"):
            until(lambda: signs.counts["learner-1"] >= 2 and signs.counts["learner-2"] >= 2)
        # A round that has begun may still name it.
        said = signs.counts["learner-1"]
        until(lambda: signs.counts["learner-1"] >= said + 2)
        last = signs.counts["learner-2"]
        until(lambda: signs.counts["learner-1"] >= said + 4)

    assert signs.counts["learner-2"] == last
    assert signs.threads == {"pulse"}
    assert signs.contexts == {"nowhere", "below the first"}


def test_where_prefect_wants_no_signs_of_life_none_are_sent() -> None:
    """A server whose heartbeats are switched off: no thread is started either."""
    before = threading.active_count()

    with Pulse(Signs().emit, lambda: None).of(learner(1), "retire-learner"):
        assert threading.active_count() == before
