"""The section of the door: what it means, what is wrong with it in one line, and a secret that is never shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from retirement.config import DoorSettings, as_own_dialect, describe, load
from retirement.ledger import Action

from .desk import ENVIRON, OWN, Desk

END = OWN.count("\n") + 1
DOOR: dict[str, Any] = {
    "url": "https://door.example.com",
    "issuer": "https://sso.example.com/realms/site",
    "client_id": "door",
    "administrators": ["8f2f"],
}
ACTIONS = (
    "'view', 'retire', 'approve', 'hold', 'redrive', 'confirm', 'report', 'archive', 'monitor' or 'setPermissions'"
)


def with_door(**more: object) -> str:
    """A file with a door; None takes a key out."""
    told = {name: value for name, value in (DOOR | more).items() if value is not None}
    return f"{OWN}door: {json.dumps(told)}\n"


def door(desk: Desk, **more: object) -> DoorSettings:
    found = desk.load(with_door(**more)).door
    assert found is not None
    return found


def test_without_the_section_there_is_no_door(desk: Desk) -> None:
    """Files of earlier releases have none, and nothing listens."""
    assert desk.load(OWN).door is None


def test_what_is_left_out_is_careful(desk: Desk) -> None:
    """Loopback, two signatures, no group, no learners."""
    found = door(desk)

    assert (found.host, found.port, found.is_secure, found.trusted_proxies) == ("127.0.0.1", 4280, True, ())
    assert (found.algorithms, found.groups, found.learners_keys) == (("RS256", "ES256"), {}, None)


def test_groups_have_actions_and_paths_begin_at_the_file(desk: Desk) -> None:
    """As everywhere in the file."""
    more = {"certificate": "tls/door.pem", "key": "/etc/door.key", "learners_keys": "lms.json"}
    found = door(desk, groups={"ops": ["view", "setPermissions"]}, learners_audience="openedx", **more)

    assert found.groups == {"ops": (Action.VIEW, Action.SET_PERMISSIONS)}
    assert (found.certificate, found.key) == (f"{desk.folder}/tls/door.pem", "/etc/door.key")
    assert found.learners_keys == f"{desk.folder}/lms.json"
    address = door(desk, learners_keys="https://lms.example.com/keys.json", learners_audience="openedx")
    assert address.learners_keys == "https://lms.example.com/keys.json"


def test_the_secret_is_shown_nowhere(desk: Desk) -> None:
    """In the converted file a variable of its own stands in its place."""
    found = desk.load(with_door(client_secret="hunter2-door", groups={"ops": ["view"]}))

    shown, converted = describe(found), as_own_dialect(found)

    assert shown["door"]["client_secret"] == "**********"
    assert "hunter2" not in f"{found!r}{shown}{converted}"
    desk.path.write_text(converted)
    again = load(desk.path, environ={**ENVIRON, "RETIREMENT_DOOR_SECRET": "hunter2-door"})
    assert again.door == found.door


CLEAR = "is http:// to another machine, which shows tokens and learners on the way; use https://, or say why in"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"url": None}, "url: is missing; give it: Address of the door as browsers reach it, such as"),
        ({"issuer": None}, "issuer: is missing; give it: OpenID Connect provider, as it stands in"),
        ({"client_id": None}, "client_id: is missing; give it: Client of the door at the provider."),
        ({"url": "door.example.com"}, "url: is no URL with scheme and host; write it as https://HOST[:PORT][/PATH]"),
        ({"url": "https://a.example/door"}, "url: has a path; give the door a host of its own, or a port"),
        ({"url": "http://door.example.com"}, f"url: {CLEAR} door.allow_insecure"),
        ({"issuer": "http://sso.example.com"}, f"issuer: {CLEAR} door.allow_insecure"),
        (
            {"host": "198.51.100.7"},
            "host: would listen in the clear beyond this machine; give door.certificate and door.key",
        ),
        ({"host": "::"}, "host: would listen in the clear beyond this machine; give door.certificate and door.key"),
        ({"certificate": "a.pem"}, "certificate: needs door.key"),
        ({"key": "a.key"}, "key: needs door.certificate"),
        ({"port": 0}, "port: must be at least 1"),
        (
            {"trusted_proxies": ["10.0.0.0/40"]},
            "trusted_proxies[0]: is no address and no network; write it as 10.0.0.7",
        ),
        ({"algorithms": ["none"]}, "algorithms[0]: must be one of 'RS256' or 'ES256'"),
        ({"algorithms": []}, "algorithms: is empty; give a value or remove the key"),
        ({"groups": {"ops": ["erase"]}}, f"groups.ops[0]: must be one of {ACTIONS}"),
        ({"administrators": []}, "administrators: names no person; give one `sub` of the provider, or a group with"),
        ({"learners_keys": "a.json"}, "learners_keys: needs door.learners_audience: a token of the LMS is for one"),
        ({"learners_keys": "http://a.example/k", "learners_audience": "a"}, f"learners_keys: {CLEAR} door.allow_in"),
        ({"session_minutes": 1}, "session_minutes: must be at least 5"),
        ({"client_secret": "${NOWHERE}"}, "client_secret: the environment variable NOWHERE is not set; set it"),
        ({"adminstrators": ["x"]}, "adminstrators: is no key here; did you mean administrators?"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_door_is_one_line(desk: Desk, more: dict[str, object], expected: str) -> None:
    """With the line, the key and what would be right."""
    (found,) = desk.problems(with_door(**more))

    assert found.startswith(f"retirement.yaml:{END}: door.{expected}")


def test_a_reason_permits_what_is_in_the_clear(desk: Desk) -> None:
    """A closed network of containers has its proxy in another one."""
    more = {"allow_insecure": "the network of the pod", "host": "198.51.100.7", "url": "http://door"}

    assert door(desk, **more).allow_insecure == "the network of the pod"
    assert desk.problems(f"{OWN}door:\n") != []
