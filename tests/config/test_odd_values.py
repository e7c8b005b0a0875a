"""Values that are not what they look like: numbers of YAML 1.1, ends of secrets, pipes, hosts outside ASCII."""

import os
from pathlib import Path

import pytest

from .desk import LMS, OWN, SECRET, TUBULAR, Desk, line_of

OCTAL = "is an octal number to YAML (it begins with 0); write it in decimal digits, without the 0"
SIXTIES = "is a number in base 60 to YAML (digits with a colon); write the number itself in decimal digits"


@pytest.mark.parametrize(
    ("key", "written", "told"),
    [
        ("cool_off_days", "010", OCTAL),
        ("cool_off_days", "-010", OCTAL),
        ("cool_off_days", "0_7", OCTAL),
        ("deadline_days", "030", OCTAL),
        ("deadline_days", "1:30", SIXTIES),
        ("lease_seconds", "1:30:00", SIXTIES),
        ("queue", "{limit: 0100}", OCTAL),
        ("retry", "{seconds: 1:30.5}", SIXTIES),
        ("guard", "{staff_ids: [5, 017]}", OCTAL),
        ("deadline_days_by_country", "{US: 045}", OCTAL),
    ],
)
def test_a_number_that_yaml_reads_otherwise_is_refused(desk: Desk, key: str, written: str, told: str) -> None:
    """`cool_off_days: 010` would be eight days, and nobody could see it."""
    (problem,) = desk.problems(OWN + f"{key}: {written}\n")

    assert problem.startswith(f"retirement.yaml:9: {key}")
    assert problem.endswith(f": {told}")


@pytest.mark.parametrize("written", ["0", "7", "'010'", "+5"])
def test_other_numbers_are_taken(desk: Desk, written: str) -> None:
    """Zero, digits, and digits in quotes, which are no number to YAML."""
    assert desk.load(OWN + f"cool_off_days: {written}\n").cool_off_days in (0, 5, 7, 10)


def test_what_looks_octal_is_text_where_text_is_due(desk: Desk) -> None:
    """A client id of digits stays as it is written."""
    assert desk.load(OWN.replace("retirement-worker", "0123456")).lms.client_id == "0123456"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_a_newline_at_the_end_of_a_secret_is_cut(desk: Desk, end: str) -> None:
    """Wherever it comes from: a variable, a file, a block, the file itself."""
    (desk.folder / "client").write_bytes(f"{SECRET}{end}".encode())
    by_block = OWN.replace("${RETIREMENT_CLIENT_SECRET}", "block:lms")
    written = OWN.replace("${RETIREMENT_CLIENT_SECRET}", f"{SECRET}{end}".__repr__().replace("'", '"'))

    found = [
        desk.load(OWN, RETIREMENT_CLIENT_SECRET=f"{SECRET}{end}"),
        desk.load(OWN.replace("${RETIREMENT_CLIENT_SECRET}", "file:client")),
        desk.load(by_block, block=lambda _: f"{SECRET}{end}"),
        desk.load(written),
    ]

    assert [each.lms.client_secret.get_secret_value() for each in found] == [SECRET] * 4
    assert [each.warnings for each in found] == [()] * 4


@pytest.mark.parametrize("secret", [f"{SECRET} ", f" {SECRET}", f"{SECRET}\t", f"{SECRET} \n", f"{SECRET}\u00a0"])
def test_a_blank_at_an_end_of_a_secret_is_named(desk: Desk, secret: str) -> None:
    """It may be one of the secret's characters, and mostly it is not."""
    (desk.folder / "client").write_text(secret)
    by_file = OWN.replace("${RETIREMENT_CLIENT_SECRET}", "file:client")
    by_block = OWN.replace("${RETIREMENT_CLIENT_SECRET}", "block:lms")

    for found in (
        desk.load(OWN, RETIREMENT_CLIENT_SECRET=secret),
        desk.load(by_file),
        desk.load(by_block, block=lambda _: secret),
    ):
        (warning,) = found.warnings
        assert "lms.client_secret: begins or ends with a blank" in warning
        assert SECRET not in warning


@pytest.mark.parametrize("nothing", ["\n", "  ", "\t\n"])
def test_a_secret_of_blanks_is_empty(desk: Desk, nothing: str) -> None:
    """A variable that was set to nothing."""
    (problem,) = desk.problems(OWN, RETIREMENT_CLIENT_SECRET=nothing)

    assert "lms.client_secret: is empty" in problem


def test_a_secret_of_several_lines_keeps_them(desk: Desk) -> None:
    """A private key is one."""
    found = desk.load(OWN, RETIREMENT_CLIENT_SECRET="first\nsecond\n")

    assert found.lms.client_secret.get_secret_value() == "first\nsecond"


def test_a_secret_in_a_pipe_or_a_device_is_refused(desk: Desk) -> None:
    """A pipe without a writer held the program for ever, and a device never ends."""
    os.mkfifo(desk.folder / "pipe")
    (desk.folder / "link").symlink_to("pipe")

    for path in ("pipe", "link", "/dev/zero", "/dev/null"):
        (problem,) = desk.problems(OWN.replace("${RETIREMENT_CLIENT_SECRET}", f"file:{path}"))
        assert problem == (
            "retirement.yaml:4: lms.client_secret: names no regular file (a pipe, a socket or a device); "
            "give a file that holds the secret"
        )


def test_a_pipe_with_a_writer_is_refused_as_well(desk: Desk) -> None:
    """Its second reader, a scheduled run, would find nothing in it."""
    pipe = desk.folder / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        os.write(writer, SECRET.encode())
        assert desk.problems(OWN.replace("${RETIREMENT_CLIENT_SECRET}", "file:pipe"))
    finally:
        os.close(writer)


@pytest.mark.parametrize("host", ["bücher.example.com", "школа.example", "courses.例え.jp:8443/path"])
def test_a_host_outside_ascii_is_told_in_its_own_words(desk: Desk, host: str) -> None:
    """For the LMS and for services; the spelling that works is one command away."""
    own = OWN.replace("courses.example.com", host)
    predecessor = TUBULAR.replace("courses.example.com/", host)

    for text in (own, predecessor):
        (problem,) = desk.problems(text)
        assert problem.startswith(f"retirement.yaml:{line_of(text, host)}: ")
        assert "has a host outside ASCII; write its punycode (xn--…)" in problem
    assert desk.load(OWN.replace("courses.example.com", "xn--bcher-kva.example.com"))


@pytest.mark.parametrize(
    "instance", ["rest.iad-06.braze.com", "https://rest.fra-01.braze.eu", "https://rest.iad-06.braze.com/", "IAD-06"]
)
def test_an_instance_of_braze_that_is_a_host_is_told(desk: Desk, instance: str) -> None:
    """Braze's own pages show the host, and the reference's key is only a part of it."""
    text = (
        TUBULAR + "    - ['RETIRING_BRAZE', 'BRAZE_COMPLETE', 'BRAZE', 'delete_user']\n"
        f"braze_api_key: k-of-braze\nbraze_instance: {instance}\n"
    )

    (problem,) = desk.problems(text)

    assert problem == (
        "retirement.yaml:11: braze_instance: is the name of the instance alone: "
        "of https://rest.iad-06.braze.com it is iad-06"
    )


def test_a_home_of_the_file_with_odd_letters_is_no_matter(tmp_path: Path) -> None:
    """The folder of the file may have any name; only hosts are ASCII."""
    folder = tmp_path / "ünï cödé"
    folder.mkdir()

    assert Desk(folder).load(LMS + OWN.partition(LMS)[2]).lms.client_id == "retirement-worker"
