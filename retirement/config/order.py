"""Rules on the order of steps: a step finds its learner by what is still there, and what is erased stays erased."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from retirement.config.document import Node
from retirement.config.problems import Problems
from retirement.config.rules import Placed
from retirement.connectors import Connector, Destroys, Identity, Operation, ServiceSettings
from retirement.pipeline import Pipeline, Step


@dataclass(frozen=True)
class Order:
    """A pipeline of known steps, with what each step calls under the settings of this site."""

    steps: Pipeline
    placed: Sequence[Placed]
    connectors: Mapping[str, type[Connector]]
    services: Mapping[str, ServiceSettings]

    def check_identity(self, problems: Problems, remedy: str) -> None:
        """No step may look a learner up by a name that another step may have destroyed by then."""
        for destroyer in self.steps:
            verdict = self._destroys_username(destroyer)
            for step in self._too_late(destroyer):
                node, why = self._node_of(step), f"{step.name} looks the learner up by username"
                if verdict is Destroys.YES:
                    text = f"{why}, which {destroyer.name} destroys in {destroyer.service}"
                    problems.add(node.line, node.key, f"{text}; let it end before {destroyer.name}")
                elif verdict is Destroys.PERHAPS:
                    text = f"{why}, and some releases of {destroyer.service} change it in {destroyer.name}"
                    problems.warn(node.line, node.key, f"{text}; put {step.name} first, or {remedy}")

    def check_sessions(self, problems: Problems) -> None:
        """Services that make a user anew at the next request or event: what ends those comes before."""
        for step in self.steps:
            service, _, name = (self._operation(step).safer_after or "").partition(".")
            there = self._steps_of(service)
            if there and not self._ends_before(step, name, there):
                node = self._node_of(step)
                text = f"{step.name} does not come after {name} of {there[0].service}"
                why = "a live session or a late event brings the user back"
                problems.warn(node.line, node.key, f"{text}, so {why}; let {name} end before")

    def _too_late(self, destroyer: Step) -> Iterator[Step]:
        """The steps that need a username which this one may have destroyed before them."""
        safe = {destroyer.name, *self.steps.ancestors(destroyer.name)}
        return (each for each in self.steps if each.name not in safe and self._needs_username_of(each, destroyer))

    def _needs_username_of(self, step: Step, destroyer: Step) -> bool:
        operation = self._operation(step)
        if operation.looks_up_in == destroyer.service:
            return True
        if step.service != destroyer.service:
            return False
        comes_last = self.connectors[destroyer.service].operations()[destroyer.operation].comes_last
        return operation.finds_by_username or (comes_last and Identity.USERNAME in operation.needs)

    def _ends_before(self, step: Step, operation: str, steps: Sequence[Step]) -> bool:
        """Whether one of these steps does the operation, and has ended when `step` starts."""
        before = self.steps.ancestors(step.name)
        return any(each.operation == operation and each.name in before for each in steps)

    def _steps_of(self, connector: str) -> list[Step]:
        return [each for each in self.steps if self.connectors[each.service].service == connector]

    def _operation(self, step: Step) -> Operation:
        return self.connectors[step.service].declared(self.services.get(step.service))[step.operation]

    def _destroys_username(self, step: Step) -> Destroys:
        settings = self.services.get(step.service)
        return self.connectors[step.service].destroys_username(settings, step.operation) if settings else Destroys.NO

    def _node_of(self, step: Step) -> Node:
        return next(each for each in self.placed if each.step.name == step.name).at("operation")
