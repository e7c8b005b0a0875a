"""What stands in a file of its own is in the list by which it is found; else no program knows of it."""

import re
from pathlib import Path

import pytest

from .source import ROOT

#: By folder: what a module has that belongs into a list, the file of the list, and how the module is named there.
LISTS = {
    "retirement/connectors": (r"^    service = \"", "pyproject.toml", r"^\w+ = \"retirement\.connectors\.{name}:"),
    "retirement/cli": (
        r"^@command\(|^\w+ = typer\.Typer\(",
        "retirement/cli",
        r"(\"|\bcli\.){name}(:| import )",
    ),
    "retirement/api/routes": (r"^router = ", "retirement/api/app.py", r"\b{name}\b"),
    "retirement/lms": (r"^ANSWERS = ", "retirement/lms/__init__.py", r"^from retirement\.lms\.{name} import "),
    "retirement/sandbox/lms": (r"^ROUTES\b", "retirement/sandbox/lms/__init__.py", r"\*{name}\.ROUTES\b"),
    "retirement/sandbox/services": (r"^ROUTES\b", "retirement/sandbox/platform.py", r"\b{name}\.ROUTES\b"),
    "retirement/sandbox/vendors": (r"^VENDOR\b", "retirement/sandbox/vendors/__init__.py", r"\b{name}\.VENDOR\b"),
    "retirement/ledger/tables": (r"__tablename__", "retirement/ledger/tables/__init__.py", r"\.tables\.{name} import "),
}


@pytest.mark.parametrize("folder", LISTS)
def test_every_module_of_a_kind_is_in_the_list_of_its_kind(folder: str) -> None:
    """The marker is in at least two modules, so a list that is empty finds nothing by mistake."""
    marker, register, line = LISTS[folder]
    path = ROOT / register
    text = "".join(each.read_text(encoding="utf-8") for each in ([path] if path.is_file() else path.glob("*.py")))
    kinds = {each.relative_to(ROOT / folder).parts[0].removesuffix(".py") for each in _marked(ROOT / folder, marker)}

    assert len(kinds) > 1
    missing = {name for name in kinds if not re.search(line.format(name=name), text, flags=re.MULTILINE)}
    assert missing == set(), f"{register} does not list it"


def _marked(folder: Path, marker: str) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*.py")) if path.parent == folder or path.name == "__init__.py"]
    own = [path for path in found if path != folder / "__init__.py"]
    return [path for path in own if re.search(marker, path.read_text(encoding="utf-8"), flags=re.MULTILINE)]


def test_every_situation_of_the_contract_is_played() -> None:
    """A situation is a coroutine of its module, and the catalogue says in which order they are played."""
    folder = ROOT / "tests" / "contract"
    catalogue = (folder / "catalogue.py").read_text(encoding="utf-8")
    for module in ("situations", "promises"):
        written = re.findall(
            r"^async def ([a-z]\w+)\(", (folder / f"{module}.py").read_text("utf-8"), flags=re.MULTILINE
        )
        assert [name for name in written if f"{module}.{name}," not in catalogue] == []
