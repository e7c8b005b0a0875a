"""Channels in the configuration: what they mean, and one line for what is wrong with them."""

import pytest

from retirement.config import TROUBLES, Occasion, as_own_dialect, describe, load

from .desk import ENVIRON, OWN, Desk

END = OWN.count("\n") + 1
URL = "mailtos://oncall:hunter2-mail@mail.example.com"


def test_a_channel_is_told_of_everything_unless_it_says_otherwise(desk: Desk) -> None:
    """Its URL stands in the environment or in a file, as other secrets do; a block is named."""
    (desk.folder / "team.url").write_text("json://team.example.com/hook\n")
    text = (
        "notifications:\n  - {name: oncall, url: '${ONCALL_URL}'}\n"
        "  - {name: team, url: 'file:team.url', on: [failed]}\n"
        "  - {name: privacy, block: slack-webhook/dpo, on: [deadline, breaker], deadline_days: 7, breaker_hours: 0.5}\n"
    )

    oncall, team, privacy = desk.load(OWN + text, ONCALL_URL=URL).notifications

    assert (oncall.occasions, oncall.repeat_hours) == (TROUBLES, 20)
    assert oncall.url is not None
    assert oncall.url.get_secret_value() == URL
    assert team.url is not None
    assert (team.url.get_secret_value(), team.occasions) == ("json://team.example.com/hook", (Occasion.FAILED,))
    assert (privacy.url, privacy.block) == (None, "slack-webhook/dpo")
    thresholds = [privacy.threshold(each) for each in (Occasion.DEADLINE, Occasion.BREAKER, Occasion.RECEIPT)]
    assert thresholds == [7, 0.5, 0]


def test_without_channels_no_operator_is_told(desk: Desk) -> None:
    """The section may be left out, or have no entries."""
    assert [desk.load(OWN + text).notifications for text in ("", "notifications: []\n", "notifications:\n")] == [()] * 3


def test_the_secret_of_a_channel_is_shown_nowhere(desk: Desk) -> None:
    """In the converted file a variable stands in its place, named after the channel."""
    found = desk.load(
        OWN + f"notifications: [{{name: on-call, url: '{URL}', on: [failed]}}]\nui_url: https://p.example\n"
    )

    shown, converted = describe(found), as_own_dialect(found)

    assert shown["notifications"][0]["url"] == "**********"
    assert "hunter2" not in f"{found!r}{shown}{converted}"
    assert "url: ${RETIREMENT_ON_CALL_URL}" in converted
    desk.path.write_text(converted)
    again = load(desk.path, environ={**ENVIRON, "RETIREMENT_ON_CALL_URL": URL})
    assert (again.notifications, again.ui_url) == (found.notifications, "https://p.example")


NAME = "What the channel is called in messages and in Prefect, such as `oncall`."
NO_BLOCK = "is no notification block; write TYPE/NAME, such as slack-webhook/oncall"
NO_URL = "is no Apprise URL, such as mailtos://USER:PASSWORD@example.com; a block of Prefect is given as block:"
OCCASIONS = "'failed', 'crashed', 'paused', 'deadline', 'breaker', 'receipt', 'schedule' or 'digest'"
CHANNEL = "name: oncall, url: 'json://x.example'"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{name: oncall}", "[0]: has neither url nor block; give one of them"),
        (f"{{{CHANNEL}, block: a/b}}", "[0]: has url and block; keep one of them"),
        ("{url: 'json://x.example'}", f"[0].name: is missing; give it: {NAME}"),
        ("{name: On Call, block: a/b}", "[0].name: is no name of a channel; use small letters, digits and single `-`"),
        ("{name: oncall, block: slack}", f"[0].block: {NO_BLOCK}"),
        (f"{{{CHANNEL}, on: [failedd]}}", f"[0].on[0]: must be one of {OCCASIONS}; did you mean failed?"),
        (f"{{{CHANNEL}, on: []}}", "[0].on: is empty; give a value or remove the key"),
        (f"{{{CHANNEL}, breaker_hour: 3}}", "[0].breaker_hour: is no key here; did you mean breaker_hours?"),
        (f"{{{CHANNEL}, repeat_hours: 0}}", "[0].repeat_hours: must be at least 1"),
        (f"{{{CHANNEL}}}, {{{CHANNEL}}}", "[1].name: is the name of another channel too; give each its own"),
        ("json://x.example", "[0]: must be a mapping of keys and values"),
        ("{name: oncall, url: '${NOWHERE}'}", "[0].url: the environment variable NOWHERE is not set; set it"),
        ("{name: oncall, url: hunter2-the-secret}", f"[0].url: {NO_URL}"),
    ],
)
def test_what_is_wrong_with_a_channel_is_one_line(desk: Desk, given: str, expected: str) -> None:
    """With the line, the key and what would be right, and without the URL."""
    found = desk.problems(f"{OWN}notifications: [{given}]\n")

    assert found == [f"retirement.yaml:{END}: notifications{expected}"]
    assert "hunter2" not in str(found)


def test_channels_are_a_list_and_the_ui_has_an_address(desk: Desk) -> None:
    """Other shapes are told as such."""
    text = "notifications: {name: oncall}\nui_url: prefect.example.com\n"

    assert desk.problems(OWN + text) == [
        f"retirement.yaml:{END}: notifications: must be a list of channels, such as [{{name: oncall, url: …}}]",
        f"retirement.yaml:{END + 1}: ui_url: is no address of a page; it begins with https:// or http://",
    ]
