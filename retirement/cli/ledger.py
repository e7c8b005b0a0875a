"""Commands on the ledger itself: create or upgrade it, sign it, and prove that no entry was changed."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from retirement.cli.asking import YesOption, agreed
from retirement.cli.command import Call, command
from retirement.cli.options import ByOption, DryRunOption, require_keepable, within_ids
from retirement.cli.output import table
from retirement.errors import ConfigError
from retirement.followup import expire_texts as followup
from retirement.ledger import (
    Act,
    Redaction,
    Rotation,
    TakenOut,
    Verdict,
    opened,
    pem_of,
    public_key_of,
    sign_head,
    signer_of,
)
from retirement.ledger import migrate as migrate_ledger
from retirement.ledger import redact as take_out
from retirement.ledger import rotate_key as rotate
from retirement.ledger import verify as verify_ledger
from retirement.ledger.anchor import line_of
from retirement.reports import DONE, SOME_FAILED
from retirement.site import ledger_location
from retirement.site.stopping import Stop, finish_or_stop

app = typer.Typer(help="The evidence: create, upgrade, sign and verify it.", no_args_is_help=True)


@app.command()
@command()
async def migrate(call: Call) -> int:
    """Create the ledger, or bring its tables to this release's; nothing is lost."""
    before, after = migrate_ledger(ledger_location(call.configuration))
    call.show({"before": before, "after": after}, f"schema {before or 'none'} → {after}")
    return DONE


PublicKeyOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key",
        metavar="PATH",
        help="File with a public key in PEM that you had from elsewhere; heads have to be signed by it. Repeatable.",
        show_default=False,
    ),
]


@app.command()
@command()
async def verify(call: Call, public_key: PublicKeyOption = None) -> int:
    """Read every entry and compare chain, tables, signed heads and anchor; names the first that is wrong."""
    trusted = [public_key_of(path) for path in public_key or ()]
    verdict = verify_ledger(ledger_location(call.configuration), trusted)
    problem = verdict.problem.sentence if verdict.problem else None
    document: dict[str, Any] = {
        "ok": verdict.ok,
        "entries": verdict.entries,
        "head": verdict.head.hash,
        "signed": verdict.signed,
        "keys": list(verdict.keys),
        "redacted": verdict.redacted,
        "entry": verdict.problem.seq if verdict.problem else None,
        "problem": problem,
    }
    whole = f"{verdict.entries} entries, whole; head {verdict.head.hash}"
    redacted = [f"texts that were taken out: {verdict.redacted}"] if verdict.redacted else []
    call.show(document, *([problem] if problem else [whole, _signatures(verdict), *redacted]))
    return DONE if verdict.ok else SOME_FAILED


def _signatures(verdict: Verdict) -> str:
    if not verdict.signed:
        return "no head is signed"
    keys = f"signed up to entry {verdict.signed}, by {' and '.join(verdict.keys)}"
    after = verdict.entries - verdict.signed
    return f"{keys}; not signed yet: the {after} after it" if after else keys


@app.command()
@command()
async def sign(call: Call) -> int:
    """Sign the head of the ledger now, unless it is signed, and show it as the anchor has it."""
    signed = sign_head(ledger_location(call.configuration))
    if signed is None:
        raise ConfigError("the ledger has no entry to sign, or no file for a signing key: set ledger.signing_key")
    call.show(
        {**asdict(signed.head), "root": signed.root, "key": signed.key, "signature": signed.signature},
        line_of(signed).rstrip("\n"),
    )
    return DONE


@app.command("public-key")
@command()
async def public_key(call: Call) -> int:
    """Show the public key of this installation in PEM: for those who check certificates and heads."""
    location = ledger_location(call.configuration)
    if location.signing is None:
        raise ConfigError("the ledger has no file for a signing key: set ledger.signing_key")
    key = signer_of(location.signing).key
    call.show({"key": key, "pem": pem_of(key)}, pem_of(key).rstrip("\n"))
    return DONE


@app.command()
@command()
async def redact(
    call: Call,
    entry: Annotated[int, typer.Option("--entry", help="Number of the entry with the text.", callback=within_ids)],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger. Does not repeat the text.")],
    by: ByOption,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Take what was typed into an entry out of the ledger for good; the chain stays whole; asks first."""
    require_keepable(reason=reason, by=by)
    location = ledger_location(call.configuration)
    done = take_out(location, entry, by=by, reason=reason, dry_run=True)
    if not dry_run:
        if not (yes or agreed("take it out for good?", _redaction(done), dry_run_shows="what it does")):
            return DONE
        done = take_out(location, entry, by=by, reason=reason)
    call.show(asdict(done), _redaction(done))
    return DONE


def _redaction(done: Redaction) -> str:
    return f"texts: {done.texts}; entries that have one of them: {', '.join(map(str, done.entries))}"


@app.command("expire-texts")
@command()
async def expire_texts(
    call: Call,
    days: Annotated[
        int | None, typer.Option(min=30, max=36_500, help="Days since a text was entered; default ledger.text_days.")
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Take out what was typed longer ago, where nothing in force needs it; the chain stays whole; asks first."""

    async def done(*, dry: bool) -> list[TakenOut]:
        found, stop = list[TakenOut](), Stop()
        work = followup.expire_texts(call.configuration, stop, found.append, days=days, dry_run=dry)
        await finish_or_stop(work, stop)
        return found

    found = await done(dry=True)
    if not dry_run and any(each.texts for each in found):
        if not (yes or agreed("take them out for good?", followup.summary(found), dry_run_shows="how many")):
            return DONE
        found = await done(dry=False)
    call.show(followup.document(found), followup.summary(found))
    return DONE


@app.command()
@command()
async def acts(
    call: Call,
    user_id: int | None = None,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="How far back, where no learner is given.")] = 30,
) -> int:
    """Show who did what: the name that was typed, and the account, the machine and the way in that were observed."""
    async with opened(ledger_location(call.configuration)) as ledger:
        if user_id is None:
            found = await ledger.acts.since(ledger.now() - timedelta(days=days))
        else:
            found = await ledger.acts.about(user_id)
    rows = [[f"{each.at:%Y-%m-%d %H:%M}", each.seq, each.kind, each.user_id, each.claimed, each.seen] for each in found]
    call.show(
        {"acts": [_row(each) for each in found]},
        table(("at (UTC)", "entry", "act", "learner", "named", "observed"), rows) if rows else "no acts",
    )
    return DONE


def _row(act: Act) -> dict[str, Any]:
    return {
        "at": act.at.isoformat(),
        "entry": act.seq,
        "act": act.kind,
        "learner": act.user_id,
        "named": act.claimed,
        "observed": act.observed,
    }


@app.command("rotate-key")
@command()
async def rotate_key(
    call: Call,
    by: ByOption,
    lost: Annotated[
        bool, typer.Option("--lost", help="The present key is gone: addresses under it cannot be asked for any more.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> int:
    """Give the ledger a new key; the old one stays beside it for look-ups; shows what it does and asks first."""
    require_keepable(by=by)
    location = ledger_location(call.configuration)
    done = rotate(location, by=by, lost=lost, dry_run=True)
    if not dry_run:
        if not (yes or agreed("give the ledger a new key?", *_rotation(done), dry_run_shows="what it does")):
            return DONE
        done = rotate(location, by=by, lost=lost)
    document = asdict(done) | {"key_file": str(done.key_file), "kept": [str(path) for path in done.kept]}
    call.show(document, *_rotation(done))
    return DONE


def _rotation(rotation: Rotation) -> list[str]:
    lines = [f"key {rotation.before or 'unknown'} → {rotation.after or 'a new one'} in {rotation.key_file}"]
    if rotation.lost:
        lines.append("the key before is lost: addresses and usernames under it cannot be asked for any more")
    lines += [f"for look-ups: {path}" for path in rotation.kept]
    if rotation.closed_claims:
        lines.append(f"partner reports that no key opens: {rotation.closed_claims}")
    return [*lines, "every machine that shares this ledger needs a copy of these files"]
