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


def test_a_traceback_that_is_printed_is_what_was_raised() -> None:
    """As a service of Prefect prints it when its server is away, over and over; what we say passes."""
    stream = io.StringIO()
    with one_line_each(stream):
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
    assert not [each for each in said if "File" in each or "Traceback" in each or "The above" in each]


def test_a_warning_that_is_logged_is_one_line_with_its_error() -> None:
    """Counted by its kind: ids and numbers may differ. What is no warning passes, and afterwards all does."""
    stream = io.StringIO()
    log, handler = logging.getLogger("an observer of Prefect"), logging.StreamHandler(stream)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with one_line_each(io.StringIO()):
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
