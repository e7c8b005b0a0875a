"""Signed heads: what the key of an installation says of a chain, and what is found by it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, select, update

from retirement.errors import ConfigError, LedgerError
from retirement.ledger import (
    Head,
    LedgerLocation,
    Signing,
    Verdict,
    chain,
    pem_of,
    sign_head,
    signer_of,
    tables,
    verify,
)
from retirement.ledger.anchor import anchored, read_anchor, write_anchor
from retirement.ledger.heads import SignedHead
from retirement.ledger.tables import SignedRow, table_of

from .desk import Desk, begin, live_through

SIGNED = table_of(SignedRow)


@pytest.fixture
def signed(desk: Desk) -> Desk:
    """A ledger whose heads are signed, with an anchor."""
    place = replace(desk.place, signing=Signing(desk.folder / "signing"), anchor=desk.folder / "anchor")
    return replace(desk, place=place)


def lived(desk: Desk) -> Verdict:
    """A life, then the verdict."""

    async def live() -> None:
        async with desk.open() as ledger:
            await live_through(ledger)

    asyncio.run(live())
    return verify(desk.place)


def went_on(desk: Desk, user_id: int) -> None:
    """Enters something more, and closes the ledger."""

    async def go_on() -> None:
        async with desk.open() as ledger:
            await (await begin(ledger, user_id)).end("parked", "", "PENDING")

    asyncio.run(go_on())


def touched(place: LedgerLocation, work: Callable[[Connection], object]) -> None:
    """Changes the database by another hand."""
    engine = create_engine(place.address)
    with engine.begin() as connection:
        work(connection)
    engine.dispose()


def forge(connection: Connection, outcome: str = "forged") -> int:
    """The 25 lines of the audit: another outcome, every hash after it anew, tables to match; the last entry."""
    previous, entry, seq = chain.ORIGIN, tables.event, 0
    for row in connection.execute(select(entry).order_by(entry.c.seq)).all():
        body = json.loads(row.body)
        for name, key, values in body["rows"]:
            if name == "attempt" and values and values["outcome"] == "erased":
                values["outcome"] = outcome
                attempt = tables.EVIDENCE["attempt"]
                connection.execute(update(attempt).where(attempt.c.id == key[0]).values(outcome=outcome))
        seq, text = row.seq, chain.canonical(body)
        hash_ = chain.entry_hash(row.seq, row.at, row.kind, row.user_id, text, previous)
        changed = {"body": text, "previous": previous, "hash": hash_}
        connection.execute(update(entry).where(entry.c.seq == row.seq).values(**changed))
        previous = hash_
    return seq


def test_what_was_entered_is_signed_when_the_ledger_is_closed(signed: Desk) -> None:
    """By a key that an entry names, in a file for this account only; anchor and openssl have the same."""
    verdict = lived(signed)
    key = signer_of(Signing(signed.folder / "signing")).key
    *_, last = anchored(signed.folder / "anchor") or ()

    assert (verdict.problem, verdict.signed, verdict.keys) == (None, verdict.entries, (key,))
    assert (signed.folder / "signing").stat().st_mode & 0o777 == 0o600
    assert isinstance(last, SignedHead)
    assert (last.head, last.key, last.is_genuine) == (verdict.head, key, True)
    went_on(signed, 18)
    again = verify(signed.place)
    assert (again.problem, again.signed) == (None, again.entries)
    assert sign_head(signed.place) == sign_head(signed.place)


def test_nothing_that_was_read_only_is_signed(signed: Desk) -> None:
    """An opening that enters nothing makes no key; a ledger without entries has no head to sign."""

    async def look() -> None:
        async with signed.open() as ledger:
            assert await ledger.holds.find() == []

    asyncio.run(look())

    assert not (signed.folder / "signing").exists()
    assert sign_head(signed.place) is None
    assert sign_head(replace(signed.place, signing=None)) is None


def test_the_chain_that_was_forged_is_found(signed: Desk) -> None:
    """Chain, tables and anchor agree with the forgery, and the signature does not; nothing is entered into it."""
    lived(signed)
    touched(signed.place, forge)
    (signed.folder / "anchor").unlink()
    found = verify(replace(signed.place, anchor=None))

    assert found.problem
    assert "is not the one whose head was signed: the chain was written anew" in found.problem.sentence
    with pytest.raises(LedgerError, match="is not the one whose head was signed"):
        went_on(replace(signed, place=replace(signed.place, anchor=None)), 18)
    with pytest.raises(LedgerError, match="is not the one whose head was signed"):
        sign_head(replace(signed.place, anchor=None))


def test_a_forged_tail_without_its_signatures_is_said_to_be_unsigned(signed: Desk) -> None:
    """Who has no key can take signatures away, and then the verdict says how far they reach."""
    lived(signed)
    first = verify(signed.place).signed
    went_on(signed, 18)
    alone = replace(signed.place, anchor=None)
    touched(alone, lambda connection: connection.execute(SIGNED.delete().where(SIGNED.c.seq > first)))
    found = verify(alone)
    touched(alone, lambda connection: connection.execute(SIGNED.delete()))
    none = verify(alone)

    assert (found.problem, found.signed < found.entries, found.signed) == (None, True, first)
    assert none.problem
    assert none.problem.sentence == "no signed head is left, though the ledger has a signing key"


def test_another_key_is_found_by_the_one_that_is_known(signed: Desk) -> None:
    """Who rewrites and signs with a key of their own convinces the chain, and not the holder of the public key."""
    lived(signed)
    ours = signer_of(Signing(signed.folder / "signing")).key
    theirs = replace(signed.place, signing=Signing(signed.folder / "theirs"), anchor=None)
    touched(theirs, lambda connection: (forge(connection), connection.execute(SIGNED.delete())))
    sign_head(theirs)

    assert verify(theirs).ok
    found = verify(theirs, [ours])
    assert found.problem
    assert "is signed by another key than this ledger's" in found.problem.sentence
    assert not verify(signed.place).ok  # the anchor


def test_heads_of_entries_that_are_gone_are_missed_without_an_anchor(signed: Desk) -> None:
    """The signed heads tell of a tail that was cut off."""
    entries = lived(signed).entries
    alone = replace(signed.place, anchor=None)
    gone = tables.event.delete().where(tables.event.c.seq > entries - 1)
    touched(alone, lambda connection: connection.execute(gone))
    found = verify(alone)

    assert found.problem
    assert found.problem.sentence == f"entries are missing from the tail: the head of entry {entries} was signed"


@pytest.mark.processes
def test_a_command_signs_instead_of_a_file(signed: Desk) -> None:
    """In hex or base64; one that answers nonsense, fails or is missing is an error that names the setting."""
    signer = signer_of(Signing(signed.folder / "held elsewhere"))
    public = signed.folder / "public.pem"
    public.write_text(pem_of(signer.key), encoding="ascii")
    signs = (
        "import sys; from pathlib import Path; from retirement.ledger import Signing, signer_of; "
        "print(signer_of(Signing(Path(sys.argv[1]))).sign(sys.stdin.buffer.read()))"
    )
    command = (sys.executable, "-c", signs, str(signed.folder / "held elsewhere"))
    signing = Signing(signed.folder / "none", command, public)

    assert lived(replace(signed, place=replace(signed.place, signing=signing))).keys == (signer.key,)
    assert not (signed.folder / "none").exists()
    for bad, sentence in (
        (("true",), "what it answered is no signature of ledger.public_key"),
        (("false",), "ledger.sign_command: false ended with 1"),
        (("/nowhere/signer",), "ledger.sign_command: /nowhere/signer cannot be started"),
    ):
        with pytest.raises(LedgerError, match=sentence):
            signer_of(replace(signing, command=bad)).sign(bytes(32))
    with pytest.raises(ConfigError, match=r"needs ledger\.public_key"):
        signer_of(replace(signing, public_key=None))


def test_a_signature_that_fails_undoes_no_work(signed: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The entries are there, a warning says why they are not signed, and the next run signs them."""
    public = signed.folder / "public.pem"
    public.write_text(pem_of(signer_of(Signing(signed.folder / "other")).key), encoding="ascii")
    broken = replace(signed.place, signing=Signing(signed.folder / "x", ("false",), public))
    went_on(replace(signed, place=broken), 18)
    verdict = verify(signed.place)

    assert (verdict.problem, verdict.entries > 0, verdict.signed) == (None, True, 0)
    assert "the head of the ledger is not signed yet: ledger.sign_command: false ended with 1" in caplog.text
    went_on(signed, 19)
    assert verify(signed.place).signed > verdict.entries


@pytest.mark.processes
def test_signed_heads_are_handed_to_a_command(signed: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Each as the anchor has it, on standard input; a command that fails is a warning."""
    copy = signed.folder / "copy"
    told = (sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())", str(copy))
    place = replace(signed.place, signing=Signing(signed.folder / "signing", told=told))
    went_on(replace(signed, place=place), 18)
    line = copy.read_text(encoding="ascii")
    went_on(replace(signed, place=replace(place, signing=Signing(signed.folder / "signing", told=("false",)))), 19)

    assert line in (signed.folder / "anchor").read_text(encoding="ascii")
    assert line.count("\n") == 1
    assert "a signed head was not handed on: ledger.head_command: false ended with 1" in caplog.text


def test_heads_that_an_address_does_not_take_come_with_the_next_one(
    signed: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Oldest first, and those that it has taken not again; none is lost, and the work is done in any case."""
    taken: list[bytes] = []

    def refuse(_lines: bytes) -> None:
        raise LedgerError("ledger.head_url: answered 503")

    for number, post in enumerate((taken.append, refuse, refuse, taken.append, taken.append), start=18):
        signing = Signing(signed.folder / "signing", post=post)
        went_on(replace(signed, place=replace(signed.place, signing=signing)), number)
    anchored = (signed.folder / "anchor").read_bytes().splitlines(keepends=True)

    assert [each.count(b"\n") for each in taken] == [1, 3, 1]
    assert b"".join(taken) == b"".join(each for each in anchored if each.count(b" ") == 5)
    assert caplog.text.count("are with the next one: ledger.head_url: answered 503") == 2


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_that_holds_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    """As one line."""
    (tmp_path / "signing").write_bytes(content)

    with pytest.raises(ConfigError, match="signing: no private key in PEM"):
        signer_of(Signing(tmp_path / "signing"))


def test_a_key_of_openssl_is_taken(tmp_path: Path) -> None:
    """And one of another kind is refused."""
    for kind in ("ed25519", "x25519"):
        subprocess.run(["openssl", "genpkey", "-algorithm", kind, "-out", str(tmp_path / kind)], check=True)

    assert len(signer_of(Signing(tmp_path / "ed25519")).sign(bytes(32))) == 128
    with pytest.raises(ConfigError, match="it has to be Ed25519"):
        signer_of(Signing(tmp_path / "x25519"))


def test_the_anchor_only_grows_and_a_line_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    """Every head keeps its line; an anchor of an earlier release is its first line."""
    path, at = tmp_path / "anchor", "2026-03-01T12:00:00.000000+00:00"
    heads = [Head(seq, f"{seq}" * 64, at) for seq in (1, 2, 3)]
    for head in heads[:2]:
        write_anchor(path, head)
    with path.open("a", encoding="ascii") as file:
        file.write("0000000000000000")
    assert read_anchor(path) == heads[1]
    write_anchor(path, heads[2])
    write_anchor(path, heads[0])

    assert list(anchored(path) or ()) == heads
    assert path.read_text(encoding="ascii").count("\n") == 4
