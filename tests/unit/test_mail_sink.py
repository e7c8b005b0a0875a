"""Partner reports by e-mail, to a real SMTP server with TLS: encrypted, and the same message if it comes again."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pysequoia import Tsk, decrypt

from retirement.config.partners import MailRecipient
from retirement.errors import ConfigError, Misconfigured, RetirementError, Transient
from retirement.partners import report as partners
from retirement.partners.destination import Destination
from retirement.partners.expiry import Ages, ExpiryFinding, ExpiryResult, expire
from retirement.partners.sinks.mail import mail_sink

from .batches import batch_of
from .doubles import PERSONAL, USERNAME, World
from .mailboxes import ORGS, Mailbox, mail_server
from .reporting import TAKE, due, flags, queued, sent

pytestmark = pytest.mark.anyio


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Mailbox]:
    """The server of a test."""
    async with mail_server(tmp_path) as found:
        yield found


async def test_each_partner_gets_a_message_that_only_its_key_opens(world: World, box: Mailbox) -> None:
    """Neither subject nor text name a learner."""
    site = await queued(world)

    delivery = await partners.deliver(site, batch_of(site), box.destination(None))

    assert (delivery.error, delivery.problems, box.told(), flags(world)) == (None, [], due(), {})
    assert sorted(str(each["To"]) for each in box.accepted) == [f"dpo-{number}@x.example" for number in range(3)]
    assert not [secret for secret in PERSONAL for each in box.accepted if secret in each.as_string()]
    assert {each.file.place for each in await site.ledger.deliveries.find()} == {
        str(each["Message-ID"]) for each in box.accepted
    }


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"port": 9}, Transient, "the server cannot take it now: ConnectionRefusedError"),
        ({"password": SecretStr("hunter3")}, Misconfigured, "the server does not let us in"),
        ({"ca_file": None}, Misconfigured, "no TLS that can be trusted"),
        ({"tls": "tls"}, Misconfigured, "no TLS that can be trusted"),
    ],
)
async def test_a_server_that_cannot_be_used_is_a_line_before_anything_is_claimed(
    world: World, box: Mailbox, changes: dict[str, Any], kind: type[RetirementError], text: str
) -> None:
    """Unreachable, another password, a certificate of a stranger, no TLS."""
    site = await queued(world)
    sink = mail_sink(box.settings(**changes))

    with pytest.raises(kind, match=text):
        await partners.deliver(site, batch_of(site), Destination(None, "x", (sink,)))

    assert sent(world, TAKE) == 0


@pytest.mark.parametrize(
    ("command", "answer", "text"),
    [
        ("DATA", "452 over quota CanaryName", "mail: DATA answered 452: the server cannot take it now"),
        ("DATA", "554 no CanaryName", "mail: DATA answered 554: the server refuses the message"),
        ("dpo-1@x.example", "550 CanaryName", "mail: DATA answered 550: the server refuses the message"),
    ],
)
async def test_a_refusal_keeps_the_rows_and_is_told_without_its_words(
    world: World, box: Mailbox, command: str, answer: str, text: str
) -> None:
    """The next run sends what is missing."""
    site = await queued(world)
    box.answers[command] = answer

    first = await partners.deliver(site, batch_of(site), box.destination(None))
    assert (first.problems[0].partition(": ")[2].startswith(text), bool(flags(world))) == (True, True)
    assert "Canary" not in f"{first.problems}"
    box.answers.clear()
    second = await partners.deliver(site, batch_of(site), box.destination(None))

    assert (second.problems, box.told(), flags(world)) == ([], due(), {})


async def test_an_answer_to_the_farewell_is_no_reason_to_send_twice(world: World, box: Mailbox) -> None:
    """The message was accepted before."""
    site = await queued(world)
    box.answers["QUIT"] = "421 too busy"

    delivery = await partners.deliver(site, batch_of(site), box.destination(None))

    assert (delivery.problems, len(box.accepted), flags(world)) == ([], 3, {})


async def test_a_refused_address_of_several_is_no_reason_to_send_twice(world: World, box: Mailbox) -> None:
    """The partner has the file."""
    site = await queued(world)
    box.answers["gone@x.example"] = "550 no"
    age = str(box.key.to_public())
    recipients = {org: {"to": ["dpo@x.example", "gone@x.example"], "age": age} for org in ORGS}
    place = Destination(None, "campus.example", (mail_sink(box.settings(recipients=recipients)),))

    delivery = await partners.deliver(site, batch_of(site), place)

    assert (delivery.problems, box.told(), flags(world)) == ([], due(), {})


async def test_a_partner_without_a_key_gets_nothing_unless_a_reason_is_given(box: Mailbox) -> None:
    """Said before anything is claimed, as is a key that is none."""
    to = ["dpo@x.example"]
    none, both = str(box.folder / "none.asc"), {"age": "age1x", "openpgp_file": "x"}
    for recipient, text in (
        ({"to": to}, "has no key"),
        ({"to": to, "age": "age1x"}, "is no public key of age"),
        ({"to": to, **both}, "has two keys"),
        ({"to": to, "openpgp_file": none}, r"recipients\.OrgA\.openpgp_file: .*none.asc cannot be read: No such file"),
        ({"to": to, "openpgp_file": str(box.folder / "server.pem")}, "is no public key of OpenPGP"),
    ):
        with pytest.raises(ConfigError, match=text) as refused:
            mail_sink(box.settings(recipients={"OrgA": recipient, "OrgB": {"to": to}}))
        assert [line.split(": ")[1].split()[0].split(".")[1] for line in refused.value.args] == ["OrgA", "OrgB"]

    assert mail_sink(box.settings(recipients={"OrgA": {"to": to, "allow_plain": "our own mail server"}}))


async def test_a_key_of_openpgp_seals_as_well_until_it_is_revoked(world: World, box: Mailbox) -> None:
    """Then this partner waits, with one line that names the file; the others have theirs."""
    site, tsk = await queued(world), Tsk.generate("dpo@one.example")
    given, path = box.settings(), box.folder / "a.asc"
    old = tsk.extract_certificate().revoke(tsk.certifier())
    to = MailRecipient(to=("dpo@one.example",), openpgp_file=str(path))
    recipients = given.recipients | {"OrgA": to}

    runs = []
    for content in (bytes(tsk.extract_certificate()) + bytes(old), bytes(tsk.extract_certificate())):
        path.write_bytes(content)
        place = Destination(None, "x", (mail_sink(given.model_copy(update={"recipients": recipients})),))
        runs.append(await partners.deliver(site, batch_of(site), place))
    (line,) = runs[0].problems
    names = [str(part.get_filename()) for each in box.accepted for part in each.walk() if part.get_filename()]
    (sealed,) = [part for part in box.accepted[-1].walk() if part.get_filename()]

    assert "recipients.OrgA.openpgp_file: " in line
    assert "was revoked; ask the partner for the new one" in line
    assert (runs[1].problems, flags(world)) == ([], {})
    assert [name.split("_")[1] + name[-4:] for name in names] == ["OrgB.age", "Zürich-U.age", "OrgA.pgp"]
    content = decrypt(sealed.get_payload(decode=True), decryptor=tsk.decryptor()).bytes
    assert content is not None
    assert {row["original_username"] for row in csv.DictReader(io.StringIO(content.decode()))} == {"bo", USERNAME}


async def test_a_partner_without_an_address_stops_no_other(world: World, box: Mailbox) -> None:
    """Its learners wait."""
    site = await queued(world)
    given = box.settings()
    some = {name: each for name, each in given.recipients.items() if name != "OrgB"}
    place = Destination(None, "campus.example", (mail_sink(given.model_copy(update={"recipients": some})),))

    delivery = await partners.deliver(site, batch_of(site), place)

    (line,) = delivery.problems
    assert "recipients has no entry for OrgB" in line
    assert box.told() == Counter({key: 1 for key in due() if key[1] != "OrgB"})
    assert len(flags(world)) == 1


async def test_a_message_is_not_deleted_but_its_partner_is_reminded(world: World, box: Mailbox) -> None:
    """Once; a reminder that comes again is the same message."""
    site, found = await queued(world), list[ExpiryFinding]()
    await partners.deliver(site, batch_of(site), box.destination(None))
    world.calendar.pass_by(days=40)

    for _ in range(2):
        await expire(site, batch_of(site), box.destination(None), Ages(30, 7), found.append)
        world.calendar.pass_by(days=10)

    reminders = [each for each in box.accepted if str(each["Subject"]).startswith("Delete ")]
    assert [each.what for each in found] == [ExpiryResult.WARNED] * 3
    assert (len(reminders), len({str(each["Message-ID"]) for each in box.accepted})) == (3, 6)
