"""What makes a pipeline one that can run: known operations, a sound shape, and states that the LMS has."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from retirement import pipeline
from retirement.config import repair
from retirement.config.document import Node
from retirement.config.problems import Problems, close_to, nearest, shown
from retirement.connectors import Connector
from retirement.pipeline import STATE_NAME_LENGTH, Pipeline, Step


@dataclass(frozen=True)
class Placed:
    """A step and where it stands in the file."""

    step: Step
    node: Node

    @property
    def call(self) -> tuple[str, str]:
        """What the step calls: a service and its operation."""
        return self.step.service, self.step.operation

    def at(self, field: str) -> Node:
        return self.node.at((field,))

    def states(self) -> Iterator[tuple[Node, str]]:
        """The states of the step, and where each stands."""
        yield self.at("start"), self.step.start
        yield self.at("end"), self.step.end

    def only_after(self, names: Collection[str]) -> Step:
        """The step, to come after those of its predecessors that have one of these names."""
        return replace(self.step, after=tuple(name for name in self.step.after if name in names))


def known(placed: Sequence[Placed], connectors: Mapping[str, type[Connector]], problems: Problems) -> list[Placed]:
    """The steps whose service and operation exist and may be used."""
    return [each for each in placed if not _unknown(each, connectors, problems)]


def _unknown(placed: Placed, connectors: Mapping[str, type[Connector]], problems: Problems) -> bool:
    step, node = placed.step, placed.at("service")
    connector = connectors.get(step.service)
    if connector is None:
        name = shown(step.service)
        text = f"no connector serves {name}{close_to(name, connectors)}; services are {', '.join(connectors)}"
        problems.add(node.line, node.key, text)
        return True
    node = placed.at("operation")
    operation = connector.operations().get(step.operation)
    if operation is None:
        hint = nearest(shown(step.operation), connector.operations())
        problems.add(node.line, node.key, f"{shown(step.operation)} is no operation of {step.service}{hint}")
        return True
    if operation.refused_because:
        problems.add(node.line, node.key, f"{step.operation} is never used: {operation.refused_because}")
        return True
    return False


def repeated(placed: Sequence[Placed], problems: Problems) -> None:
    """The same call in two steps."""
    first = _first_of_each_call(placed)
    for each in placed:
        if (earlier := first[each.call]) is not each:
            node, call = each.at("operation"), " ".join(each.call)
            text = f"{call} is in the pipeline already, on line {earlier.node.line}; remove one"
            problems.add(node.line, node.key, text)


def superseded(placed: Sequence[Placed], connectors: Mapping[str, type[Connector]], problems: Problems) -> None:
    """Calls that do nothing any more, and whose work another call does."""
    first = _first_of_each_call(placed)
    for (service, name), each in first.items():
        other = connectors[service].operations()[name].goes_with
        if not other:
            continue
        node, text = each.at("operation"), f"{name} does nothing by itself any more"
        if (service, other) in first:
            problems.warn(node.line, node.key, f"{text}; {other} does its work, so the step may go")
        else:
            fix = ": `retirement config import --add-misc` writes the file with it" if other == repair.MISC else ""
            why = f"{text}; {other} does its work and has to be in the pipeline"
            problems.add(node.line, node.key, f"{why}{fix}")


def _first_of_each_call(placed: Sequence[Placed]) -> dict[tuple[str, str], Placed]:
    first: dict[tuple[str, str], Placed] = {}
    for each in placed:
        first.setdefault(each.call, each)
    return first


def shape(placed: Sequence[Placed], unreadable: Collection[str], problems: Problems) -> Pipeline | None:
    """The steps as a pipeline; None where states or `after` do not allow one.

    `unreadable` are names of steps that have been refused already; to come after one of them is no mistake.
    """
    names = {each.step.name for each in placed}
    steps = tuple(each.only_after(names) for each in placed)
    wrong = [*_unknown_predecessors(placed, names, unreadable), *_misshapen(placed, steps)]
    for node, text in wrong:
        problems.add(node.line, node.key, text)
    return None if wrong or unreadable else Pipeline(steps)


def _unknown_predecessors(
    placed: Sequence[Placed], names: Collection[str], unreadable: Collection[str]
) -> Iterator[tuple[Node, str]]:
    for each in placed:
        for index, name in enumerate(each.step.after):
            if name not in names and name not in unreadable:
                hint = nearest(shown(name), names)
                yield each.node.at(("after", index)), f"{shown(name)} is no step of this pipeline{hint}"


def _misshapen(placed: Sequence[Placed], steps: tuple[Step, ...]) -> Iterator[tuple[Node, str]]:
    for place, field, text in pipeline.problems(steps):
        yield placed[place].at(field), text


def states(given: Sequence[str], node: Node, problems: Problems) -> None:
    """Whether the LMS takes this list of states."""
    for index, state in enumerate(given):
        if len(state) > STATE_NAME_LENGTH:
            item, text = node.at((index,)), f"has {len(state)} characters; the LMS stores {STATE_NAME_LENGTH}"
            problems.add(item.line, item.key, text)
    for name in sorted(Counter(given) - Counter(set(given))):
        problems.add(node.line, node.key, f"{shown(name)} is there twice; remove one")
    first, *last = pipeline.REQUIRED_STATES
    if [*given[:1], *given[-3:]] != [first, *last]:
        text = f"must begin with {first} and end with {', '.join(last)}, or the LMS refuses it"
        problems.add(node.line, node.key, text)


def order_of_states(placed: Sequence[Placed], given: Sequence[str], node: Node, problems: Problems) -> None:
    """Whether the LMS' list of states has those of the pipeline, in its order."""
    last_place, last_name = -1, ""
    for here, state in (pair for each in placed for pair in each.states()):
        if state not in given:
            hint = close_to(shown(state), given)
            problems.add(here.line, here.key, f"{state} is not in {node.key}{hint}; add it there, at the same place")
        elif given.index(state) < last_place:
            text = f"{state} stands before {last_name} in {node.key}; the LMS moves forward only, so use one order"
            problems.add(here.line, here.key, text)
        else:
            last_place, last_name = given.index(state), state
