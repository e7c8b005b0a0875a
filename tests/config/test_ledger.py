"""Where the ledger is: addresses that can be meant, and a password that is never shown."""

from pathlib import Path

import pytest
import yaml

from retirement.config import as_own_dialect, describe, load

from .desk import ENVIRON, OWN, SECRET, Desk

END = OWN.count("\n") + 1
POSTGRESQL = f"postgresql://retirement:{SECRET}@db.example.com:5432/ledger?sslmode=require"
FORM = "write it as sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE"


def with_url(url: str) -> str:
    return OWN + f"ledger: {{url: '{url}'}}\n"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://retirement@db.example.com/ledger",
        "postgresql+psycopg://db.example.com/ledger",
        "postgresql+asyncpg:///ledger",
        "sqlite:////var/lib/retirement/ledger of ours.sqlite",
        POSTGRESQL,
    ],
)
def test_an_address_is_taken_as_it_is(desk: Desk, url: str) -> None:
    """SQLite by path, PostgreSQL by whichever driver the operator names."""
    found = desk.load(with_url(url)).ledger.url

    assert found is not None
    assert url == found.get_secret_value()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://db.example.com/ledger", f"is no address of a database that a ledger can be in; {FORM}"),
        ("postgres://db.example.com/ledger", f"is no address of a database that a ledger can be in; {FORM}"),
        ("postgresql:ledger", f"is no address of a database that a ledger can be in; {FORM}"),
        ("postgresql+other://h/ledger", f"is no address of a database that a ledger can be in; {FORM}"),
        ("postgresql://u:a b@h/ledger", f"is no address of a database that a ledger can be in; {FORM}"),
        ("postgresql://db.example.com", f"names no database; {FORM}"),
        ("postgresql://[::1/ledger", f"is no address of a database; {FORM}"),
        ("postgresql://h:port/ledger", f"is no address of a database; {FORM}"),
        ("postgresql://h/l?password=x", "must have its password before the @, where it is masked"),
        ("postgresql://h/l#x", "has a # in it; write %23 where a password holds one"),
        ("sqlite:///:memory:", f"names no file that lasts; {FORM}"),
        ("sqlite:///", f"names no file that lasts; {FORM}"),
        ("sqlite://", f"is no address of a database that a ledger can be in; {FORM}"),
        (" sqlite:///x", "must be one line without space at its ends"),
        ("ledger.sqlite", f"is no address of a database that a ledger can be in; {FORM}"),
    ],
)
def test_any_other_address_is_one_line(desk: Desk, url: str, expected: str) -> None:
    """That repeats nothing of it."""
    assert [f"retirement.yaml:{END}: ledger.url: {expected}"] == desk.problems(with_url(url))


def test_paths_start_at_the_folder_of_the_file(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever the program is started; `~` is a home."""
    monkeypatch.setenv("HOME", "/home/of-somebody")
    text = OWN + "ledger: {url: 'sqlite:///data/ledger.sqlite', anchor: ~/head, key: ../ledger.key}\n"
    desk.write(text)
    monkeypatch.chdir(desk.folder)

    found = load("retirement.yaml", environ=ENVIRON).ledger

    assert found.url is not None
    assert found.url.get_secret_value() == f"sqlite:///{desk.folder}/data/ledger.sqlite"
    assert (found.anchor, found.key) == ("/home/of-somebody/head", f"{desk.folder}/../ledger.key")


def test_a_command_that_signs_needs_its_public_key(desk: Desk) -> None:
    """Or what it answers could not be looked at."""
    line = f"retirement.yaml:{END}: ledger.sign_command: needs ledger.public_key"

    assert [line] == desk.problems(OWN + "ledger: {sign_command: [kms-sign]}\n")


def test_heads_go_in_clear_to_this_machine_only(desk: Desk) -> None:
    """A relay here, or TLS; an address with a user would be shown."""
    for good in ("http://127.0.0.1:8080/heads", "https://heads.example.com/in"):
        assert desk.load(OWN + f"ledger: {{head_url: '{good}'}}\n").ledger.head_url == good
    for bad in ("http://heads.example.com/in", "https://u:p@heads.example.com/", "ftp://heads.example.com/"):
        (problem,) = desk.problems(OWN + f"ledger: {{head_url: '{bad}'}}\n")
        assert problem.startswith(f"retirement.yaml:{END}: ledger.head_url: ")


def test_the_password_is_shown_nowhere(desk: Desk) -> None:
    """Which database it is, is."""
    found = desk.load(with_url("${URL}"), URL=POSTGRESQL)

    shown = describe(found)
    assert SECRET not in f"{found!r}{shown}{as_own_dialect(found)}"
    assert shown["ledger"] == {"url": "postgresql://retirement:**********@db.example.com:5432/ledger?sslmode=require"}


def test_a_converted_address_names_a_variable_for_its_password(desk: Desk) -> None:
    """And means the same."""
    found = desk.load(with_url(POSTGRESQL))

    converted = as_own_dialect(found)
    again = desk.load(converted, RETIREMENT_LEDGER_PASSWORD=SECRET)

    assert "retirement:${RETIREMENT_LEDGER_PASSWORD}@db" in yaml.safe_load(converted)["ledger"]["url"]
    assert found.ledger == again.ledger


def test_everything_new_survives_a_conversion(desk: Desk) -> None:
    """One reads what the other writes."""
    text = (
        OWN + "deadline_days_by_country: {US: 45}\nlease_seconds: 60\nreconcile_schedule: 30 * * * *\n"
        "ledger: {url: 'sqlite:///a', anchor: b, key: c, signing_key: d, sign_command: [e, --f], public_key: g, "
        "head_command: [h], head_url: 'https://heads.example.com/in', text_days: 1000}\n"
        "guard: {staff_ids: [1], staff_domains: [x.example]}\n"
        "breaker: {learners: 2}\n"
    )

    before = desk.load(text)
    after = desk.load(as_own_dialect(before))

    assert describe(before) == describe(after)
    assert (before.ledger, before.guard, before.breaker) == (after.ledger, after.guard, after.breaker)


def test_only_an_address_with_a_password_has_to_be_hidden(desk: Desk) -> None:
    """In a file that others can read."""
    exposed = [
        warning
        for url in ("sqlite:///x", "postgresql://u@h/ledger", POSTGRESQL)
        for warning in desk.warnings(with_url(url), mode=0o644)
        if "ledger.url" in warning
    ]

    assert len(exposed) == 1


@pytest.mark.parametrize(
    ("ledger", "problem"),
    [
        ("postgresql_schema: campus", "needs ledger.url of a PostgreSQL; give each site a file of its own"),
        (
            "url: sqlite:///ledger.sqlite, postgresql_schema: campus",
            "needs ledger.url of a PostgreSQL; give each site a file of its own",
        ),
        *(
            (
                f"url: 'postgresql://a@b/c', key: k, postgresql_schema: {name}",
                "is no name of a schema; use small letters, digits and `_`",
            )
            for name in ("Campus", "'a b'", "'a;b'", "1a")
        ),
    ],
)
def test_a_schema_is_one_of_postgresql(desk: Desk, ledger: str, problem: str) -> None:
    """Its name goes into the options of a connection, so it is one that needs no quotes."""
    assert [f"retirement.yaml:{END}: ledger.postgresql_schema: {problem}"] == desk.problems(
        OWN + f"ledger: {{{ledger}}}\n"
    )


def test_a_schema_is_kept_by_a_conversion(desk: Desk) -> None:
    """Two sites of one database would else be refused after it."""
    before = desk.load(OWN + "ledger: {url: 'postgresql://a@b/c', key: k, postgresql_schema: campus}\n")

    assert before.ledger.postgresql_schema == desk.load(as_own_dialect(before)).ledger.postgresql_schema == "campus"
