"""Values that stand elsewhere, above all secrets, of which no message ever shows anything."""

import pytest

from retirement.errors import ConfigError

from .desk import OWN, SECRET, Desk

KEY = "retirement.yaml:4: lms.client_secret: "


def with_secret(value: str) -> str:
    return OWN.replace("${RETIREMENT_CLIENT_SECRET}", value)


def found(desk: Desk, value: str) -> str:
    return desk.load(with_secret(value)).lms.client_secret.get_secret_value()


def block(name: str) -> str:
    if name != "lms-secret":
        raise ValueError(f"no block {name}, but there is {SECRET}")
    return SECRET


def test_a_secret_may_stand_in_a_file_beside(desk: Desk) -> None:
    """Its newline at the end does not count, and its path starts at the configuration."""
    (desk.folder / "client").write_bytes(f"{SECRET}\r\n".encode())

    assert found(desk, "file:client") == SECRET


def test_a_secret_may_stand_in_a_block(desk: Desk) -> None:
    """The engine's secret store, handed in as a function."""
    text = with_secret("block:lms-secret")

    assert desk.load(text, block=block).lms.client_secret.get_secret_value() == SECRET


def test_variables_may_stand_in_any_text(desk: Desk) -> None:
    """More than one, in the middle, and in the name of a file."""
    (desk.folder / "s-1").write_text(SECRET)
    text = with_secret("file:${PREFIX}-1").replace("courses.example.com", "${A}.${B}.com")

    lms = desk.load(text, A="lms", B="example", PREFIX="s").lms

    assert (lms.url, lms.client_secret.get_secret_value()) == ("https://lms.example.com", SECRET)


def test_a_doubled_dollar_is_meant_as_it_is(desk: Desk) -> None:
    """And a lone one means nothing special."""
    assert found(desk, "a$${B}$c") == "a${B}$c"


def test_a_variable_that_is_not_set_is_named(desk: Desk) -> None:
    """Each of them, once."""
    assert [
        f"{KEY}the environment variable NO_SUCH is not set; set it",
        f"{KEY}the environment variable NOR_THIS is not set; set it",
    ] == desk.problems(with_secret("${NO_SUCH}${NOR_THIS}${NO_SUCH}"))


@pytest.mark.parametrize("value", ["${", "${lower-case}", "a${1}b", "${UNCLOSED"])
def test_a_reference_that_is_none_is_told(desk: Desk, value: str) -> None:
    """Rather than sent to the LMS as a password."""
    assert [
        f"{KEY}holds a `${{` that begins no ${{NAME}}; write `$${{` where you mean the characters"
    ] == desk.problems(with_secret(f"'{value}'"))


def test_a_secret_that_is_empty_is_told(desk: Desk) -> None:
    """In the file, in the environment, in a file, in a block."""
    (desk.folder / "client").write_text("\n")
    expected = [f"{KEY}is empty; give the secret, ${{NAME}}, file:PATH or block:NAME"]

    assert expected == desk.problems(with_secret("''"))
    assert expected == desk.problems(OWN, RETIREMENT_CLIENT_SECRET="")
    assert expected == desk.problems(with_secret("file:client"))
    assert expected == desk.problems(with_secret("block:x"), block=lambda _: "")


def test_a_missing_secret_file_is_told_without_its_name(desk: Desk) -> None:
    """The name might be the secret itself, behind a prefix by chance."""
    assert [f"{KEY}names a file that cannot be read: No such file or directory"] == desk.problems(
        with_secret(f"file:{SECRET}")
    )
    assert [f"{KEY}names a file that cannot be read: no such name is possible"] == desk.problems(
        with_secret('"file:a\\0b"')
    )


def test_a_secret_file_of_bytes_is_told(desk: Desk) -> None:
    """A password is text."""
    (desk.folder / "client").write_bytes(b"\xff\xfe")

    assert [f"{KEY}names a file that is not UTF-8 text"] == desk.problems(with_secret("file:client"))


def test_a_block_without_engine_is_told(desk: Desk) -> None:
    """Whoever only checks a file has no engine."""
    assert [f"{KEY}names a secret block, and no engine is there to ask; use ${{NAME}} or file: here"] == desk.problems(
        with_secret("block:lms-secret")
    )


def test_a_block_that_fails_is_told_without_what_it_said(desk: Desk) -> None:
    """Its own words may hold anything."""

    def broken(name: str) -> str:
        raise ConfigError(f"{name} {SECRET}")

    expected = [f"{KEY}names a secret block that cannot be loaded; create it, or use ${{NAME}} or file:"]

    assert expected == desk.problems(with_secret("block:other"), block=block)
    assert expected == desk.problems(with_secret("block:other"), block=broken)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_plain_secret_in_a_file_for_all_is_a_warning(desk: Desk, mode: int) -> None:
    """Group and others can read it."""
    assert [
        f"{KEY}stands in a file that others can read; `chmod 600` it, or give ${{NAME}}, file: or block:"
    ] == desk.warnings(with_secret(SECRET), mode)


def test_a_plain_secret_in_a_file_of_ours_is_no_matter(desk: Desk) -> None:
    """Nor is a reference in a file for all."""
    assert desk.warnings(with_secret(SECRET), 0o600) == []
    assert desk.warnings(OWN, 0o644) == []
