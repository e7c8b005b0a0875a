"""The simulated platform on real sockets, in a thread of its own, with a door for each worker."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml

from retirement.sandbox import Sandbox, serving
from retirement.sandbox.pipelines import PIPELINES, configuration
from tests import routes
from tests.chaos.doors import Door, Watch
from tests.patient import PATIENCE

Result = TypeVar("Result")

#: The issue asks for eight steps; the pipeline that ships has one more.
LEFT_OUT = "RETIRING_PROCTORING"
SHAPES = {"line": "default", "dag": "dag"}
#: Where the request of each step arrives: service and path.
ROUTES = {
    step["start"]: routes.ROUTES[step["operation"]][1:] for step in PIPELINES["default"] if step["start"] != LEFT_OUT
}
_STEP_AT = {place: name for name, place in ROUTES.items()}
#: Answers after which a step counts as done; 404 where the service has nothing of the learner.
DONE = (200, 204, 404)


def steps(shape: str) -> list[dict[str, Any]]:
    """The eight steps of a shape, as a configuration file has them."""
    kept = [dict(step) for step in PIPELINES[SHAPES[shape]] if step["start"] != LEFT_OUT]
    for step in kept:
        if "after" in step:
            step["after"] = [name for name in step["after"] if name != LEFT_OUT]
    return kept


def states(shape: str) -> list[str]:
    """The LMS' states for a shape."""
    own = [state for step in steps(shape) for state in (step["start"], step["end"])]
    return ["PENDING", *own, "ERRORED", "ABORTED", "COMPLETE"]


def canary(number: int) -> dict[str, Any]:
    """A learner who holds something in every service, under names that nothing else contains."""
    return {
        "username": f"quetzal-canary-{number:03}",
        "email": f"quetzal.canary.{number:03}@plumage.example",
        "name": f"Quetzália Plumage{number:03}",
        "state": "PENDING",
        "requested_days_ago": 20,
        "enrollments": [{"org": "OrgA", "active": True}, {"org": "OrgB", "active": True}],
        "notes": 2,
        "credentials": True,
        "licenses": ["activated"],
    }


#: What must be in no file, and in nothing that a process says; lower case.
CANARIES = ("quetzal-canary", "quetzal.canary", "quetzália", "plumage")


class Stage:
    """A platform that is served until the block ends. Its thread is the only one that touches it."""

    def __init__(self, doors: int = 1) -> None:
        self.doors = [Door(number) for number in range(doors)]
        for door in self.doors:
            door.stands_beside(self.doors)
        self._urls: list[dict[str, str]] = []
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._up: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="platform")
        self._subjects: dict[str, str] = {}
        self.user_ids: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._up.result(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.sandbox = Sandbox()
        async with AsyncExitStack() as stack:
            try:
                for door in self.doors:
                    seen = copy.copy(self.sandbox)
                    seen.apps = {name: door.around(app) for name, app in self.sandbox.services.items()}
                    self._urls.append(await stack.enter_async_context(serving(seen)))
            except BaseException as error:
                self._up.set_exception(error)
                raise
            self._up.set_result(None)
            await self._end.wait()

    def ask(self, question: Callable[[Sandbox], Result]) -> Result:
        """Asks the platform something in its own thread."""
        answer: Future[Result] = Future()

        def call() -> None:
            try:
                answer.set_result(question(self.sandbox))
            except Exception as error:  # noqa: BLE001 - raised again in the thread that asked
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return answer.result(PATIENCE)

    def seed(self, shape: str, learners: int, changes: Sequence[Mapping[str, Any]] = ()) -> None:
        """Fills the platform anew with so many learners in PENDING, the first of them changed so."""
        listed = [canary(number) for number in range(1, learners + 1)]
        for learner, change in zip(listed, changes, strict=False):
            learner.update(change)
        seeded = self.ask(lambda sandbox: sandbox.reset({"states": states(shape), "learners": listed}))
        self.user_ids = {name: each["user_id"] for name, each in seeded["learners"].items()}
        anonymous = {each["anonymous_id"]: name for name, each in seeded["learners"].items()}
        by_id = {str(number): name for name, number in self.user_ids.items()}
        self._subjects = {**{name: name for name in self.user_ids}, **anonymous, **by_id}

    def watched(self, proved: Callable[[int], frozenset[str]]) -> Watch:
        """Sets a watch before all doors; `proved` is asked in the platform's thread."""
        watch = Watch(
            proved=lambda name: proved(self.user_ids[name]),
            done=lambda name: _done(self.sandbox)[self.user_ids[name]],
            subject=self._subject,
        )
        for door in self.doors:
            door.watch = watch
        return watch

    def _subject(self, path: str, body: bytes) -> str | None:
        """Whom a request names, in its path or in its body; None for tokens, lists and probes."""
        for part in path.split("/"):
            if part in self.user_ids:
                return part
        try:
            sent = json.loads(body)
        except ValueError:
            return None
        if not isinstance(sent, dict):
            return None
        named: list[Any] = [sent.get(key) for key in ("username", "original_username", "user", "lms_user_id")]
        if isinstance(pairs := sent.get("username_mappings"), list):
            named += [name for pair in pairs for name in pair]
        return next((self._subjects[str(each)] for each in named if str(each) in self._subjects), None)

    def done(self) -> dict[int, frozenset[str]]:
        """The steps of each learner whose request the platform has answered as done."""
        return self.ask(_done)

    def states_now(self) -> dict[str, str]:
        """The LMS state of each learner."""
        found = self.ask(lambda sandbox: sandbox.state())["learners"]
        return {name: each["retirement"]["current_state"] for name, each in found.items()}

    def config(self, path: Path, shape: str, door: int = 0, **sections: Mapping[str, Any] | float) -> Path:
        """Writes a configuration file that leads to the platform through one door."""
        client = self.ask(lambda sandbox: sandbox.clients["worker"])
        content = configuration(SHAPES[shape], self._urls[door], client) | {"pipeline": steps(shape), **sections}
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        path.chmod(0o600)
        return path


def _done(sandbox: Sandbox) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = defaultdict(set)
    for entry in sandbox.requests:
        step = _STEP_AT.get((entry["service"], entry["path"]))
        # A route's own GET is a probe.
        if step and entry["method"] != "GET" and entry["status"] in DONE and entry["user_id"] is not None:
            found[entry["user_id"]].add(step)
    return defaultdict(frozenset, {user_id: frozenset(names) for user_id, names in found.items()})
