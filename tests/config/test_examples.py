"""Every example file loads as it is, given the one variable that they all name."""

import shutil
from pathlib import Path

import pytest

from retirement.config import Configuration, as_own_dialect, describe, load

from .desk import ENVIRON, SECRET

EXAMPLES = Path(__file__).parents[2] / "deployments" / "examples"
#: File, dialect, number of steps, number of warnings.
EXPECTED = [
    ("ansible", "ansible", 3, 2),
    ("dag", "own", 8, 0),
    ("own", "own", 7, 0),
    ("tubular", "tubular", 8, 3),
    ("tutor", "tubular", 6, 1),
]


def example(name: str, folder: Path) -> Configuration:
    shutil.copy(EXAMPLES / f"{name}.yaml", folder)
    (folder / "client_secret.txt").write_text(SECRET)
    return load(folder / f"{name}.yaml", environ=ENVIRON)


def test_every_example_is_tested() -> None:
    """A new file has to be added here."""
    assert sorted(name for name, *_ in EXPECTED) == sorted(path.stem for path in EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize(("name", "dialect", "steps", "warnings"), EXPECTED)
def test_an_example_loads(tmp_path: Path, name: str, dialect: str, steps: int, warnings: int) -> None:
    """In its dialect, with what it warns of."""
    found = example(name, tmp_path)

    assert (dialect, steps, warnings) == (found.dialect, len(found.pipeline), len(found.warnings))
    assert found.lms.client_secret.get_secret_value() == SECRET


@pytest.mark.parametrize("name", [name for name, *_ in EXPECTED])
def test_an_example_can_be_converted(tmp_path: Path, name: str) -> None:
    """Into our own dialect, with the same meaning."""
    found = example(name, tmp_path)
    (tmp_path / "converted.yaml").write_text(as_own_dialect(found))

    assert describe(found) == describe(load(tmp_path / "converted.yaml", environ=ENVIRON))


def test_the_parallel_example_is_parallel(tmp_path: Path) -> None:
    """Four steps wait for nobody, and the last one for all."""
    steps = example("dag", tmp_path).pipeline

    assert sum(not step.after for step in steps) == 4
    assert {step.name for step in steps} - {"RETIRING_LMS"} == steps.ancestors("RETIRING_LMS")
