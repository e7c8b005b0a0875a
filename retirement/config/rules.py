"""What makes a pipeline one that can run: known operations, states that the LMS has, identities that still exist."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from retirement import pipeline
from retirement.config.document import Node
from retirement.config.problems import Problems, close_to, nearest, shown
from retirement.connectors import Connector, Destroys, Identity, ServiceSettings
from retirement.pipeline import Pipeline, Step


@dataclass(frozen=True)
class Placed:
    """A step and where it stands in the file."""

    step: Step
    node: Node

    def at(self, field: str) -> Node:
        return self.node.at((field,))


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


def repeated(placed: Sequence[Placed], connectors: Mapping[str, type[Connector]], problems: Problems) -> None:
    """Twice the same call, and calls whose work another one has to do."""
    first: dict[tuple[str, str], Placed] = {}
    for each in placed:
        call = (each.step.service, each.step.operation)
        if call in first:
            node, line = each.at("operation"), first[call].node.line
            problems.add(
                node.line, node.key, f"{call[0]} {call[1]} is in the pipeline already, on line {line}; remove one"
            )
        first.setdefault(call, each)
    for (service, name), each in first.items():
        if other := connectors[service].operations()[name].goes_with:
            node = each.at("operation")
            text = f"{name} does nothing by itself any more"
            if (service, other) in first:
                problems.warn(node.line, node.key, f"{text}; {other} does its work, so the step may go")
            else:
                problems.add(node.line, node.key, f"{text}; {other} does its work and has to be in the pipeline")


def shape(placed: Sequence[Placed], unreadable: Collection[str], problems: Problems) -> Pipeline | None:
    """The steps as a pipeline; None where states or `after` do not allow one.

    `unreadable` are names of steps that have been refused already; to come after one of them is no mistake.
    """
    names = {each.step.name for each in placed}
    trusted: list[Step] = []
    sound = not unreadable
    for each in placed:
        for index, name in enumerate(each.step.after):
            if name not in names and name not in unreadable:
                node = each.node.at(("after", index))
                hint = nearest(shown(name), names)
                problems.add(node.line, node.key, f"{shown(name)} is no step of this pipeline{hint}")
                sound = False
        trusted.append(replace(each.step, after=tuple(name for name in each.step.after if name in names)))
    for place, field, text in pipeline.problems(tuple(trusted)):
        node = placed[place].at(field)
        problems.add(node.line, node.key, text)
        sound = False
    return Pipeline(tuple(trusted)) if sound else None


def states(placed: Sequence[Placed], given: Sequence[str], node: Node, problems: Problems) -> None:
    """Whether the LMS' list of states has those of the pipeline, in its order."""
    for name in sorted({name for name in given if given.count(name) > 1}):
        problems.add(node.line, node.key, f"{shown(name)} is there twice; remove one")
    if tuple(given[:1]) != pipeline.REQUIRED_STATES[:1] or tuple(given[-3:]) != pipeline.REQUIRED_STATES[1:]:
        first, *last = pipeline.REQUIRED_STATES
        problems.add(
            node.line, node.key, f"must begin with {first} and end with {', '.join(last)}, or the LMS refuses it"
        )
    last_place, last_name = -1, ""
    for each in placed:
        for field, state in (("start", each.step.start), ("end", each.step.end)):
            here = each.at(field)
            if state not in given:
                hint = close_to(shown(state), given)
                problems.add(
                    here.line, here.key, f"{state} is not in {node.key}{hint}; add it there, at the same place"
                )
            elif given.index(state) < last_place:
                text = f"{state} stands before {last_name} in {node.key}; the LMS moves forward only, so use one order"
                problems.add(here.line, here.key, text)
            else:
                last_place, last_name = given.index(state), state


def identity(
    steps: Pipeline,
    placed: Sequence[Placed],
    connectors: Mapping[str, type[Connector]],
    services: Mapping[str, ServiceSettings],
    problems: Problems,
    *,
    remedy: str,
) -> None:
    """No step may look a learner up by a name that another one may have destroyed by then."""
    for destroyer in steps:
        connector = connectors[destroyer.service]
        settings = services.get(destroyer.service)
        verdict = connector.destroys_username(settings, destroyer.operation) if settings else Destroys.NO
        for step in _too_late(steps, destroyer, connectors, services):
            node = next(each for each in placed if each.step.name == step.name).at("operation")
            why = f"{step.name} looks the learner up by username"
            if verdict is Destroys.YES:
                text = (
                    f"{why}, which {destroyer.name} destroys in {destroyer.service}; let it end before {destroyer.name}"
                )
                problems.add(node.line, node.key, text)
            elif verdict is Destroys.PERHAPS:
                text = f"{why}, and some releases of {destroyer.service} change it in {destroyer.name}"
                problems.warn(node.line, node.key, f"{text}; put {step.name} first, or {remedy}")


def sessions(
    steps: Pipeline,
    placed: Sequence[Placed],
    connectors: Mapping[str, type[Connector]],
    services: Mapping[str, ServiceSettings],
    problems: Problems,
) -> None:
    """Services that make a user anew at the next sign of life: what ends those should have ended before."""
    for step in steps:
        declared = connectors[step.service].declared(services.get(step.service))[step.operation]
        service, _, name = (declared.safer_after or "").partition(".")
        there = [other for other in steps if connectors[other.service].service == service]
        before = steps.ancestors(step.name)
        if there and not any(other.operation == name and other.name in before for other in there):
            node = next(each for each in placed if each.step.name == step.name).at("operation")
            text = f"{step.name} does not come after {name} of {there[0].service}"
            why = "a live session or a late event brings the user back"
            problems.warn(node.line, node.key, f"{text}, so {why}; let {name} end before")


def _too_late(
    steps: Pipeline,
    destroyer: Step,
    connectors: Mapping[str, type[Connector]],
    services: Mapping[str, ServiceSettings],
) -> Iterator[Step]:
    before = steps.ancestors(destroyer.name)
    comes_last = connectors[destroyer.service].operations()[destroyer.operation].comes_last
    for step in steps:
        if step.name == destroyer.name or step.name in before:
            continue
        operation = connectors[step.service].declared(services.get(step.service))[step.operation]
        told = Identity.USERNAME in operation.needs
        same = step.service == destroyer.service and (operation.finds_by_username or (told and comes_last))
        if same or operation.looks_up_in == destroyer.service:
            yield step
