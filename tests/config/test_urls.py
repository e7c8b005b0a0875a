"""Addresses: with scheme and host, and never in clear to another machine by accident."""

import pytest

from .desk import CREDENTIALS, OWN, SECRET, Desk, pipeline

HTTPS = "https://courses.example.com"
NO_URL = "is no URL with scheme and host; write it as https://HOST[:PORT][/PATH]"


@pytest.mark.parametrize(
    "url",
    [
        "https://courses.example.com/prefix/",
        "https://courses.example.com:8443",
        "http://localhost:18000/",
        "http://127.0.0.1:18000",
        "http://127.255.0.9",
        "http://[::1]:18000",
        "https://[2001:db8::1]/",
    ],
)
def test_an_address_that_can_work_is_taken(desk: Desk, url: str) -> None:
    """https:// anywhere, http:// on this machine."""
    assert url == desk.load(OWN.replace(HTTPS, f"'{url}'")).lms.url


@pytest.mark.parametrize(
    "url",
    [
        "courses.example.com",
        "//courses",
        "https://",
        "ftp://courses",
        "https:///path",
        "https://a b",
        'https://a_"',
        "courses:8000",
        "https://{host}",
        "http:localhost",
    ],
)
def test_an_address_without_scheme_or_host_is_refused(desk: Desk, url: str) -> None:
    """What it should look like is said, what it was is not."""
    assert [f"retirement.yaml:2: lms.url: {NO_URL}"] == desk.problems(OWN.replace(HTTPS, f"'{url}'"))


@pytest.mark.parametrize("url", ["https://[::1", "https://host:99999", "https://host:port"])
def test_an_address_that_cannot_be_taken_apart_is_refused(desk: Desk, url: str) -> None:
    """Brackets and ports."""
    assert desk.problems(OWN.replace(HTTPS, f"'{url}'")) == [
        "retirement.yaml:2: lms.url: is no URL; write it as https://HOST[:PORT][/PATH]"
    ]


@pytest.mark.parametrize("url", ["https://xn--a/", "https://xn--zzzzzz-99999999/"])
def test_punycode_that_says_nothing_is_refused(desk: Desk, url: str) -> None:
    """The HTTP library raises a ValueError of its own for it, at each request."""
    assert desk.problems(OWN.replace(HTTPS, f"'{url}'")) == [
        "retirement.yaml:2: lms.url: has a host that is no name and no address; look at its spelling"
    ]


@pytest.mark.parametrize(
    "url", [f"https://me:{SECRET}@host", "https://host/?a=b", "https://host/#top", "https://host?"]
)
def test_an_address_is_a_base(desk: Desk, url: str) -> None:
    """No password, query or fragment; the password is not repeated."""
    assert desk.problems(OWN.replace(HTTPS, f"'{url}'")) == [
        "retirement.yaml:2: lms.url: must be a base URL: no user, query or fragment"
    ]


@pytest.mark.parametrize("host", ["courses.example.com", "127.0.0.1.example.com", "10.0.0.1", "[2001:db8::1]", "lms"])
def test_http_to_another_machine_is_refused(desk: Desk, host: str) -> None:
    """Tokens and usernames would travel in clear."""
    text = OWN.replace(HTTPS, f"'http://{host}'")

    assert desk.problems(text) == [
        (
            "retirement.yaml:2: lms.url: is http:// to another machine, which shows tokens and learners on the way; "
            "use https://, or set allow_insecure: true beside it"
        )
    ]
    assert desk.problems(text.replace("lms:\n", "lms:\n  allow_insecure: true\n")) == []


def test_other_services_are_held_to_the_same(desk: Desk) -> None:
    """With permission of their own."""
    text = OWN + "services: {CREDENTIALS: {url: 'http://credentials.example.com'}}\n"

    (problem,) = desk.problems(text)

    assert "services.CREDENTIALS.url: is http:// to another machine" in problem
    assert desk.problems(text.replace("'}", "', allow_insecure: true}")) == []


def test_a_service_that_a_step_uses_needs_an_address(desk: Desk) -> None:
    """Told at the step, since there is no other place."""
    text = OWN.partition("pipeline:")[0] + pipeline(CREDENTIALS)

    assert desk.problems(text) == [
        (
            "retirement.yaml:6: services.CREDENTIALS.url: is missing; "
            "give it: Base URL of the service, with its path prefix where it has one."
        )
    ]


def test_a_wrong_address_does_not_hide_what_else_is_wrong(desk: Desk) -> None:
    """Nor the other way round."""
    text = OWN.replace(HTTPS, "courses").replace("retirement-worker", "''")

    assert [int(problem.split(":")[1]) for problem in desk.problems(text)] == [2, 3]
