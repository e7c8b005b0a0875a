"""Whatever a file holds, loading it ends in a configuration or in lines that name the file and keep secrets."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from retirement.config import (
    BreakerSettings,
    Configuration,
    GuardSettings,
    LedgerSettings,
    LmsSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
    as_own_dialect,
    describe,
    load,
)
from retirement.config.dialects import own, tubular
from retirement.connectors.openedx import OpenEdxSettings
from retirement.errors import ConfigError

from .desk import ANSIBLE, ENVIRON, OWN, SECRET, TUBULAR, Desk

LINE = re.compile(r"\S+\.yaml:\d+: \S.*: \S.*")
MODELS = (
    LmsSettings,
    LedgerSettings,
    GuardSettings,
    BreakerSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
    OpenEdxSettings,
)
KEYS = st.sampled_from(
    [
        *own.KEYS,
        *(name for model in MODELS for name in model.model_fields),
        *("LMS", "CREDENTIALS", *tubular.SIGNATURE, "ecommerce"),
        *("RETIREMENT_LMS_BASE_URL", "RETIREMENT_SERVICE_PIPELINE_CONFIGURATION", "NAME", "FUNCTION"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["LMS", "retirement_unenroll", "https://x.example.com", "${A}", "file:x", "block:x", "{{ x }}"])
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=6)
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def outcome(folder: Path, content: bytes) -> Configuration | list[str]:
    """What loading ends in; every line of a refusal has the one form."""
    try:
        return load(Desk(folder).write(content), environ=ENVIRON)
    except ConfigError as error:
        lines = [str(line) for line in error.args]
    assert lines
    assert [line for line in lines if SECRET in line or not LINE.fullmatch(line)] == []
    assert [line for line in lines if len(line.splitlines()) != 1] == []
    assert lines == sorted(lines, key=lambda line: int(line.split(":")[1]))
    return lines


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes(folder: Path, content: bytes) -> None:
    """Files of other programs."""
    outcome(folder, content)


@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_text(folder: Path, content: str) -> None:
    """Files of other people."""
    outcome(folder, content.encode("utf-8", "surrogatepass"))


@given(st.dictionaries(KEYS, TREES, max_size=8))
@settings(max_examples=3 * settings().max_examples, deadline=None)
def test_any_tree_of_our_keys(folder: Path, tree: dict[str, object]) -> None:
    """The right keys in all the wrong places."""
    outcome(folder, yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


@given(st.sampled_from([OWN, TUBULAR, ANSIBLE]), st.integers(0, 700), st.integers(0, 30), st.text(max_size=6))
@settings(max_examples=4 * settings().max_examples, deadline=None)
def test_any_damage_to_a_good_file(folder: Path, text: str, place: int, cut: int, put: str) -> None:
    """A slip of the hand in a file that loads; what still loads can be shown and converted."""
    damaged = text[:place] + put + text[place + cut :]

    found = outcome(folder, damaged.encode("utf-8", "surrogatepass"))

    if isinstance(found, Configuration):
        assert SECRET not in f"{found!r}{describe(found)}"
        again = load(Desk(folder).write(as_own_dialect(found)), environ=ENVIRON)
        assert describe(found) == describe(again)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789!$%&*()[]{}:;'\"\\,.#?-_", min_size=8, max_size=40))
@settings(max_examples=3 * settings().max_examples, deadline=None)
def test_no_secret_is_ever_shown(folder: Path, noise: str) -> None:
    """Written plainly, quoted or not, in whatever characters."""
    secret = f"q{SECRET}{noise}"
    lines = OWN.splitlines()
    for written in (
        secret,
        f"'{secret}",
        f"{{{secret}: 1}}",
        f"[{secret}",
        f"*{secret}",
        f"!{secret} x",
        f"file:{secret}",
    ):
        lines[3] = f"  client_secret: {written}"
        found = outcome(folder, "\n".join(lines).encode())
        shown = found if isinstance(found, list) else [repr(found), *found.warnings, str(describe(found))]
        assert SECRET not in "".join(shown)
