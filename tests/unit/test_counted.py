"""What Prefect prints and logs in the process of `serve`: a line for each kind of error, counted."""

import io
import logging
import sys
import traceback

from retirement.flows.kit.counted import one_line_each


def raised(number: int) -> Exception:
    """An error with its traceback and its cause."""
    try:
        try:
            raise OSError(f"port {number} refused")
        except OSError as error:
            raise ConnectionError(f"no answer at 0x7f{number}\nat all") from error
    except ConnectionError as error:
        return error


def raised_together() -> ExceptionGroup[Exception]:
    """As a group of tasks raises it."""
    try:
        raise ExceptionGroup("unhandled errors in a TaskGroup", [raised(2), raised(3)])
    except ExceptionGroup as error:
        return error


def test_a_traceback_that_is_printed_is_what_was_raised() -> None:
    """As a service of Prefect prints it when its server is away, over and over; what we say passes."""
    stream = io.StringIO()
    with one_line_each(stream, io.StringIO()):
        for number in range(10):
            sys.stdout.write("Failed the last 3 attempts.\n\n")
            sys.stdout.write("".join(traceback.format_exception(raised(number))) + "\n\n")
            sys.stdout.write("ready: 11 ")
            sys.stdout.write("deployments\n")

    said = stream.getvalue().splitlines()
    assert said[:5] == [
        "Failed the last 3 attempts.",
        "",
        "OSError: port 0 refused",
        "ConnectionError: no answer at 0x7f0",
        "at all",
    ]
    assert [each for each in said if "refused" in each][1:] == ["OSError: port 9 refused (10 times)"]
    assert said.count("ready: 11 deployments") == 10
    assert [each for each in said if "attempts" in each][1:] == ["Failed the last 3 attempts. (10 times)"]
    assert not [each for each in said if "File" in each or "Traceback" in each or "The above" in each]


def test_a_warning_that_is_logged_is_one_line_with_its_error() -> None:
    """Counted by its kind: ids and numbers may differ. What is no warning passes, and afterwards all does."""
    stream = io.StringIO()
    log, handler = logging.getLogger("an observer of Prefect"), logging.StreamHandler(stream)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with one_line_each(io.StringIO(), io.StringIO()):
            for number in range(12):
                log.error("run %d failed\nbadly", number, exc_info=raised(number))
                log.info("run %d goes on", number)
        log.error("afterwards\nas before")
    finally:
        log.removeHandler(handler)

    said = stream.getvalue().splitlines()
    assert [each for each in said if "failed" in each] == [
        "run 0 failed (ConnectionError: no answer at 0x7f0",
        "run 9 failed (ConnectionError: no answer at 0x7f9 (10 times)",
    ]
    assert len([each for each in said if "goes on" in each]) == 12
    assert said[-2:] == ["afterwards", "as before"]


def test_what_the_processes_of_runs_print_is_counted_as_well() -> None:
    """Their log, tracebacks of groups, and lines of one run between those of another's traceback."""
    header, *frames = traceback.format_exception(raised(1).__cause__)
    stream = io.StringIO()
    with one_line_each(io.StringIO(), stream):
        for number in range(3):
            sys.stderr.write(f"01:20:39.28{number} | WARNING | prefect.Observer - The websocket failed.\n")
            sys.stderr.write(header)
            sys.stderr.write("01:20:40.100 | INFO    | Flow run 'queue' - Beginning\n")
            sys.stderr.write("".join(frames))
            sys.stderr.write("".join(traceback.format_exception(raised_together())))
            sys.stderr.write("over: the server answers\n")

    said = stream.getvalue().splitlines()
    assert said == [
        "01:20:39.280 | WARNING | prefect.Observer - The websocket failed.",
        "01:20:40.100 | INFO    | Flow run 'queue' - Beginning",
        "OSError: port 1 refused",
        "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)",
        "ConnectionError: no answer at 0x7f2",
        "at all",
        "over: the server answers",
        *["01:20:40.100 | INFO    | Flow run 'queue' - Beginning", "over: the server answers"] * 2,
    ]
