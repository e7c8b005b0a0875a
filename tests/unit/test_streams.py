"""What a command prints: a full disk, a closed pipe or a poor encoding does not end the work, and is said."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO

import pytest
import typer
from rich.console import Console

from retirement.cli import output
from retirement.cli.command import Call, command
from retirement.cli.names import asked_for
from retirement.cli.streams import LEAST_FILES, Stream

TEXT = "retired → Zürich \ud800 ✓"


@pytest.fixture(autouse=True)
def streams() -> Iterator[None]:
    """A test loses what it prints, and no later one."""
    yield
    output.out.lost = output.err.lost = None


def ended(target: TextIO, code: int = 0, **given: Any) -> int:
    """The exit code of a command that has done its work and prints to that stream."""

    async def body(call: Call) -> int:
        call.show({"text": TEXT}, TEXT, output.table(["→"], [[TEXT]]))
        return code

    with redirect_stdout(target), pytest.raises(typer.Exit) as end:
        command()(body)(**given)
    return end.value.exit_code


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_a_character_that_the_output_cannot_show_is_replaced(encoding: str, as_json: bool) -> None:
    """In tables and sentences; a JSON document escapes it and stays what it is."""
    raw = io.BytesIO()

    assert ended(io.TextIOWrapper(raw, encoding=encoding), as_json=as_json) == 0

    text = raw.getvalue().decode(encoding)
    if not as_json:
        assert "retired" in text
    elif encoding.startswith("utf"):
        assert json.loads(text) == {"text": TEXT.replace("\ud800", "?")}
    else:
        assert json.loads(text) == {"text": TEXT}


def closed() -> TextIO:
    """A stream that was closed."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream.close()
    return stream


def broken() -> TextIO:
    """A pipe that no process reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", encoding="utf-8")  # noqa: PTH123 - closed by its user


def full() -> TextIO:
    """A device that takes nothing."""
    return Path("/dev/full").open("w", encoding="utf-8")


@pytest.mark.parametrize(
    ("made", "work", "code", "said"),
    [
        (full, 0, 1, "No space left on device"),
        (full, 3, 3, "No space left on device"),
        (closed, 0, 1, "it is closed"),
        (broken, 0, 0, None),
        (broken, 1, 1, None),
    ],
)
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_an_answer_that_is_lost_is_said_and_no_defect(
    capsys: pytest.CaptureFixture[str],
    made: Callable[[], TextIO],
    work: int,
    code: int,
    said: str | None,
    as_json: bool,
) -> None:
    """The work has its own exit code; a reader that has seen enough, such as `head`, is no trouble."""
    with_stream = made()

    assert ended(with_stream, work, as_json=as_json) == code

    lines = capsys.readouterr().err.splitlines()
    expected = f"the answer could not be printed: {said}; what was done is in the ledger: `retirement status`"
    assert lines == ([expected] if said else [])
    if not with_stream.closed:
        with_stream.close()  # nothing is left that would fail once more


def test_a_stream_is_whichever_the_process_has_by_now() -> None:
    """Runners of tests and of shells put others in its place."""
    stream, first, second = Stream("stdout"), io.StringIO(), io.StringIO()
    for each in (first, second):
        with redirect_stdout(each):
            assert stream.write("a") == 1
            assert not stream.isatty()

    assert (first.getvalue(), second.getvalue(), stream.problem) == ("a", "a", None)


def run(shell: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process that a shell has prepared."""
    command = ["sh", "-c", shell.replace("RETIREMENT", f"{sys.executable} -m retirement")]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.processes
def test_a_process_that_may_open_too_few_files_says_so() -> None:
    """In one line, before a library hangs; a limit that may be raised is raised."""
    few = run("ulimit -n 24; RETIREMENT version")
    may_have_more = run("ulimit -S -n 24; RETIREMENT version")

    assert (few.returncode, few.stdout) == (2, "")
    needed = f"this process may have 24 files open, and needs {LEAST_FILES}: raise the limit, as by `ulimit -n 1024`\n"
    assert few.stderr == needed
    assert (may_have_more.returncode, may_have_more.stderr) == (0, "")


@pytest.mark.processes
@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_process_without_its_streams_has_empty_ones(closing: str) -> None:
    """No file that it opens takes their place, and a name that was given is read all the same."""
    done = run(f"RETIREMENT status --email zoe@post.example --config /nowhere {closing}")

    assert (done.returncode, done.stdout) == (2, "")
    lines = [] if "2>" in closing else ["/nowhere"]
    assert [line[: len("/nowhere")] for line in done.stderr.splitlines()] == lines


def test_a_byte_order_mark_before_a_piped_name_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """PowerShell and some editors write one."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbfzoe-canary-0001\r\n")))

    assert asked_for("--username", "-") == "zoe-canary-0001"


@pytest.mark.parametrize("width", [20, 33, 80])
def test_a_narrow_table_folds_sentences_and_no_words(width: int) -> None:
    """A state, a day and a number are looked for with Ctrl-F and copied."""
    text = io.StringIO()
    rows = [["104", "RETIRING_ENROLLMENTS", "the service did not answer in time", "2026-11-02"], [None, "x", "y", "z"]]

    console = Console(file=text, soft_wrap=True, width=width)
    console.print(output.table(["learner", "state", "reason", "due"], rows))

    shown = text.getvalue()
    assert all(word in shown for row in rows for cell in row if cell for word in cell.split())


def test_a_word_without_end_is_folded() -> None:
    """No column is as wide as what a service may write."""
    text = io.StringIO()

    Console(file=text, soft_wrap=True, width=80).print(output.table(["reason"], [["x" * 500]]))

    assert max(map(len, text.getvalue().splitlines())) <= 80
