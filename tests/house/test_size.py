"""How big files and functions may be, and names that mean that something has no home."""

from .source import PRODUCT, TESTS, WORDS, Module, modules

#: Ratchets: lower them when the largest one shrinks, never raise them.
FILE_LINES = 400
#: Those that may be longer, and how long.
LONGER_FILES: dict[str, int] = {}
FUNCTION_LINES = 40
TEST_FILE_LINES = 400
TEST_FUNCTION_LINES = 60

HOMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "managers", "misc"}


def _everything() -> tuple[Module, ...]:
    return modules(*PRODUCT, *WORDS, *TESTS)


def _is_test(module: Module) -> bool:
    return module.name.startswith("tests")


def test_files_stay_short() -> None:
    """What does not fit has two subjects."""
    limits = {each: LONGER_FILES.get(each.place, FILE_LINES) for each in _everything() if not _is_test(each)}
    limits |= {each: TEST_FILE_LINES for each in _everything() if _is_test(each)}

    assert {each.place: each.lines for each, limit in limits.items() if each.lines > limit} == {}


def test_exceptions_are_still_needed() -> None:
    """A file that has become short again leaves the list."""
    assert {each.place for each in _everything() if each.lines > FILE_LINES and not _is_test(each)} == set(LONGER_FILES)


def test_functions_stay_short() -> None:
    """Signature and docstring included."""
    long = {
        f"{module.place}: {function.name}": lines
        for module in _everything()
        for function in module.functions()
        if (lines := (function.end_lineno or 0) - function.lineno + 1)
        > (TEST_FUNCTION_LINES if _is_test(module) else FUNCTION_LINES)
    }

    assert long == {}


def test_everything_has_a_home() -> None:
    """A module called `utils` is one whose subject nobody found."""
    assert {module.name for module in _everything() if not HOMELESS.isdisjoint(module.name.split("."))} == set()
