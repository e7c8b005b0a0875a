"""Files that are no configuration at all: each is answered by one line that says what to do."""

import gc
import os
from pathlib import Path

import pytest

from retirement.config import load
from retirement.errors import ConfigError

from .desk import LMS, OWN, SECRET, TUBULAR, Desk, line_of


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    (line,) = caught.value.args
    return str(line)


def test_a_missing_file(tmp_path: Path) -> None:
    """The answer says how to name one."""
    path = tmp_path / "absent.yaml"

    assert f"{path}:1: file: there is no such file; name one with --config or RETIREMENT_CONFIG" == refusal(path)


def test_a_folder(tmp_path: Path) -> None:
    """A path that ends too early."""
    assert f"{tmp_path}:1: file: is a folder; name the file in it" == refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_we_may_not_read(desk: Desk) -> None:
    """The system's own words say why."""
    assert (
        desk.short(refusal(desk.write(OWN, mode=0o000))) == "retirement.yaml:1: file: cannot be read: Permission denied"
    )


def test_a_path_through_a_file(desk: Desk) -> None:
    """The system's own words say why, for root as well."""
    assert refusal(desk.write(OWN) / "more").endswith(":1: file: cannot be read: Not a directory")


def test_a_name_that_no_file_can_have() -> None:
    """A null byte in the path."""
    assert refusal(Path("a\0b")).endswith(":1: file: cannot be read: the name cannot be one of a file")


@pytest.mark.parametrize("content", ["", "# nothing but a comment\n", "---\n", "~\n", "{}\n"])
def test_an_empty_file(desk: Desk, content: str) -> None:
    """Whichever way it is empty."""
    assert desk.problems(content) == ["retirement.yaml:1: file: is empty; deployments/examples has files to start from"]


@pytest.mark.parametrize("content", ["just text", "- a\n- b\n", SECRET])
def test_a_file_without_keys(desk: Desk, content: str) -> None:
    """A list or a text; what it says is not repeated."""
    assert desk.problems(content) == ["retirement.yaml:1: file: must be a mapping of keys and values, such as `lms:`"]


def test_a_yaml_error_has_its_line(desk: Desk) -> None:
    """Where the parser stumbled, counted from one."""
    text = OWN + "queue: {limit: 3\n"

    assert [
        f"retirement.yaml:{text.count(chr(10)) + 1}: file: is no YAML: expected ',' or '}}', but got '<stream end>'"
    ] == desk.problems(text)


def test_a_tab_is_a_yaml_error(desk: Desk) -> None:
    """The commonest mistake of all."""
    (problem,) = desk.problems(LMS + "queue:\n\tlimit: 3\n")

    assert problem.startswith("retirement.yaml:6: file: is no YAML: found character")


@pytest.mark.parametrize("value", [f"*{SECRET}", f"!{SECRET}!x y", f'"{SECRET}', f"[{SECRET}", f"&{SECRET}"])
def test_a_yaml_error_never_quotes_a_value(desk: Desk, value: str) -> None:
    """A secret that begins with a character of YAML's is not shown by the error about it."""
    problems = desk.problems(OWN.replace("${RETIREMENT_CLIENT_SECRET}", value))

    assert problems
    assert not [problem for problem in problems if SECRET in problem]


def test_binary_garbage(desk: Desk) -> None:
    """Its line is where the text ends."""
    assert desk.problems(b"lms:\n  \xff\xfe\x00") == ["retirement.yaml:2: file: is not UTF-8 text; save it as UTF-8"]


def test_control_characters(desk: Desk) -> None:
    """Valid UTF-8 and no YAML all the same."""
    assert desk.problems(b"lms:\n  \x07") == [
        "retirement.yaml:2: file: is no YAML: it holds characters that YAML does not allow"
    ]


@pytest.mark.parametrize("number", ["FFFFFFFF", "00110000", "7fffffff"])
def test_an_escape_that_is_no_character(desk: Desk, number: str) -> None:
    """The parser itself fails over it; the line is told, and escapes that are characters are none of it."""
    text = LMS + f'timezone: "\\U0001F600"\nschedule: "\\U{number}"\n'

    assert desk.problems(text) == [
        f"retirement.yaml:{line_of(text, 'schedule')}: file: is no YAML: it holds an escape (\\U…) that is no character"
    ]


def test_a_huge_file(desk: Desk) -> None:
    """It is not even parsed."""
    assert desk.problems("# " + "x" * 300_000) == [
        "retirement.yaml:1: file: is larger than 256 KiB, so it is no configuration"
    ]


def test_a_file_that_unfolds_without_end(desk: Desk) -> None:
    """Aliases of aliases, which stand for more values than memory holds."""
    layers = "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 9))

    assert any("stands for more than 50000 values" in line for line in desk.problems("lms: &k0 x\n" + layers))


def test_a_value_that_holds_itself(desk: Desk) -> None:
    """YAML can say it; nobody can use it."""
    assert "retirement.yaml:1: lms.url[0]: refers to itself or stands for too many values" in desk.problems(
        "lms: {url: &me [*me]}\n"
    )


def test_a_file_that_is_nested_without_end(desk: Desk) -> None:
    """Depth is bounded too."""
    gc.collect()  # at that depth nothing can be finalized that other tests have left
    assert desk.problems("lms: " + "[" * 5000 + "]" * 5000) == ["retirement.yaml:1: file: is nested too deeply"]


def test_a_key_given_twice(desk: Desk) -> None:
    """YAML would take the second and say nothing."""
    text = OWN + "cool_off_days: 7\ncool_off_days: 70\n"

    assert [
        (
            f"retirement.yaml:{line_of(text, 'cool_off_days: 70')}: cool_off_days: is given twice, "
            f"first on line {line_of(text, 'cool_off_days: 7')}; keep one"
        )
    ] == desk.problems(text)


def test_a_merge_of_something_else(desk: Desk) -> None:
    """`<<` takes mappings."""
    assert f"retirement.yaml:{OWN.count(chr(10)) + 1}: queue.<<: can only merge mappings".replace("<<", "…") in (
        desk.problems(OWN + "queue: {<<: 3}\n")
    )


def test_two_dialects_in_one_file(desk: Desk) -> None:
    """Neither would be whole."""
    assert [
        (
            f"retirement.yaml:{LMS.count(chr(10)) + 1}: client_id: is of the tubular dialect and lms of the own one; "
            "keep one dialect in a file"
        )
    ] == desk.problems(LMS + TUBULAR)
    assert desk.problems(TUBULAR + "RETIREMENT_LMS_BASE_URL: x\n") == [
        (
            "retirement.yaml:9: RETIREMENT_LMS_BASE_URL: is of the ansible dialect and client_id of the tubular one; "
            "keep one dialect in a file"
        )
    ]


def test_no_dialect_at_all(desk: Desk) -> None:
    """Each key is held against those that would tell a dialect."""
    assert desk.problems("lsm: {}\npipelines: []\n") == [
        "retirement.yaml:1: lsm: is no key of a configuration; did you mean lms?",
        "retirement.yaml:2: pipelines: is no key of a configuration; did you mean pipeline?",
    ]
