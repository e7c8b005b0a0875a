"""The rooms of the sandbox: what every service reads lies below, and what composes the services above."""

from __future__ import annotations

from tests.house.source import modules, within

SANDBOX = "retirement.sandbox"
#: From the lowest to the highest; a module imports from lower rooms and from its own.
ROOMS = (
    *("seeds", "wire", "world", "routing", "gates", "services", "vendors", "lms", "residue", "report"),
    *("pipelines", "planting", "platform", "controls", "web"),
)


def floor(name: str) -> int:
    """The number of a module's room; the package itself is the roof."""
    return next((number for number, room in enumerate(ROOMS) if within(name, f"{SANDBOX}.{room}")), len(ROOMS))


def test_modules_import_only_from_rooms_below() -> None:
    """Also for types: a service names the world, and no service names the platform."""
    inside = [module for module in modules("retirement") if within(module.name, SANDBOX)]
    upward = {
        (module.name, name)
        for module in inside
        for name in module.imports
        if within(name, SANDBOX) and floor(name) > floor(module.name)
    }

    assert upward == set()


def test_every_module_has_a_room() -> None:
    """A new file says in this list where it belongs, and a room that is gone leaves the list."""
    names = {module.name for module in modules("retirement") if within(module.name, SANDBOX)} - {SANDBOX}

    assert {floor(name) for name in names} == set(range(len(ROOMS)))
