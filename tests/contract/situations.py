"""What can happen on the wire, and what has to hold then whatever the operation is.

Each situation is played at every request of the operation, that for a token included. Every foreign body holds
the learner's username, e-mail and name, so that whoever quotes a body is found out.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

from retirement.connectors import Outcome
from retirement.errors import Misconfigured, NotFound, RateLimited, Refused, StateConflict, Transient
from tests.contract.stage import NOW, Does, Ending, Exchange, Fault, Stage
from tests.contract.suite import Broken, Case, NotApplicable, check_error, must_be
from tests.unit.doubles import EMAIL, NAME, USERNAME, Forward

#: Longest time that any answer may take, in seconds.
LONGEST = 600
PAGE = f"<!doctype html><html><title>Page</title><p>{USERNAME} {EMAIL} {NAME}</p></html>"
#: Success in status only. An empty list is missing: to the question who has this e-mail it is an answer.
LIES: tuple[Any, ...] = ({}, {"message": f"OK, {EMAIL}"}, {"error": f"cannot delete {USERNAME}"}, None, NAME, 7)


HTML, TEXT, JSON = "text/html", "text/plain", "application/json"
#: Statuses that count as a success for a careless reader, and bodies that no service of ours sends with them.
OTHERS: tuple[tuple[int, str, str], ...] = (
    *((status, HTML, "") for status in (200, 201, 202, 203, 204, 205, 206, 299)),
    (202, TEXT, "OK"),
    (202, HTML, PAGE),
    (202, JSON, "{}"),
    (203, JSON, "[]"),
    (202, JSON, json.dumps({"message": f"OK, {EMAIL}"})),
    (201, JSON, json.dumps({"success": True, "error": f"cannot delete {USERNAME}"})),
)


def answers(status: int, body: Any = PAGE, **headers: str) -> Does:
    """An answer in place of the service's; a text is a page, anything else JSON."""
    kind = "text/html" if body is PAGE else "application/json"
    content = body if body is PAGE else json.dumps(body)
    named = {"content-type": kind} | {name.replace("_", "-"): value for name, value in headers.items()}

    async def does(_request: httpx.Request, _forward: Forward) -> httpx.Response:
        return httpx.Response(status, headers=named, content=content.encode())

    return does


def breaks(error: type[httpx.TransportError], *, after: bool = False) -> Does:
    """The connection breaks, before the service has heard of it or after it has done the work."""

    async def does(request: httpx.Request, forward: Forward) -> httpx.Response:
        if after:
            await forward(request)
        raise error(f"{request.url} of {EMAIL}", request=request)

    return does


async def _halved(request: httpx.Request, forward: Forward) -> httpx.Response:
    """The work is done, and something on the way sends half of the answer as if it were whole."""
    response = await forward(request)
    content = await response.aread()
    return httpx.Response(response.status_code, headers={"content-type": "application/json"}, content=content[:-1])


def at(place: int, exchanges: list[Exchange]) -> str:
    """Which request of the operation was hit; the path is left out, as it may hold a name."""
    what = "the request for a token" if exchanges[place].signs_in else exchanges[place].request.method
    return f"at request {place + 1} of {len(exchanges)} ({what})"


async def done_when_nothing_is_in_the_way(case: Case) -> None:
    """It ends with an outcome, and the tables show a difference."""
    plain = await case.plain()
    check_error(plain, "plain")
    if plain.error is not None and (case.declared.refused_because or not _routed(plain)):
        raise NotApplicable(f"it ends as {plain.said}: the sandbox lacks the route, or it is never to be used")
    if plain.error is not None:
        raise Broken(f"ends as {plain.said}")
    if not plain.exchanges and (case.declared.goes_with or case.subject.app is None):
        raise NotApplicable("it asks nobody: another operation or a person does its work")
    if not plain.change.gone and not plain.change.added:
        raise Broken(f"says `{plain.said}`, and nothing has changed at the service")
    if len(case.subject.kind.operations()) == 1 and plain.said != Outcome.MANUAL and plain.change.left:
        left = ", ".join(sorted(f"{table}.{column}" for table, column in plain.change.left))
        raise Broken(f"the only operation of its service leaves {left}")


def _routed(plain: Ending) -> bool:
    """Whether the sandbox knows the route of the last request; else it is the HTML 404 of its web server."""
    return bool(plain.exchanges) and plain.exchanges[-1].status not in (404, 405)


async def nobody_there(case: Case) -> None:
    """A learner whom the service never met is no reason to fail."""
    await case.works()
    stage = Stage(case.subject, known=False)
    ending = await stage.perform()
    check_error(ending, "unknown learner")
    if ending.erasure is None:
        raise Broken(f"a learner whom the service does not know ends as {ending.said}")


async def called_twice(case: Case) -> None:
    """At once and months later, by another process: the end is the same."""
    plain = await case.works()
    stage = Stage(case.subject)
    for days in (0, 60):
        for turn in (1, 2):
            ending = await stage.perform()
            check_error(ending, f"call {turn} of two, after {days} days")
            if ending.erasure is None:
                raise Broken(f"call {turn} of two, after {days} days, ends as {ending.said}")
            if days == 0 and turn == 2 and case.looks_first:
                _no_more_than(plain, stage.change(NOW).added, "called twice")
        ending.change = stage.change()
        await case.is_true(ending, f"called twice, after {days} days")


def _no_more_than(plain: Ending, added: Any, where: str) -> None:
    if more := {table for table, rows in added.items() if rows > plain.change.added.get(table, 0)}:
        raise Broken(f"{where}: makes a second row in {', '.join(sorted(more))}, although it declares to look first")


async def own_404(case: Case) -> None:
    """The service's own 404 is `absent` where the operation handles it, and never `erased` while data is there."""
    handles = case.declared.absent_on_404 or await _handles_404(case)
    body = {"detail": "Not found.", "message": f"no such user: {EMAIL}"}
    for place in await case.places():
        for times in (1, None):
            where = f"{at(place, (await case.plain()).exchanges)}, {'once' if times else 'from there on'}"
            stage = Stage(case.subject)
            ending = await stage.perform(Fault(answers(404, body), place, times))
            check_error(ending, where)
            if ending.error is not None:
                # A single one contradicts what the service says next, which may then be a matter of time.
                passing = (Transient,) if times else ()
                must_be(ending, where, NotFound, Refused, Misconfigured, StateConflict, *passing)
            elif not (ending.said == Outcome.ABSENT and handles):
                ending.change = stage.change()
                await case.is_true(ending, where)


async def _handles_404(case: Case) -> bool:
    """Whether a 404 of the sandbox itself ended well: for an unknown learner, or when called twice."""
    unknown = await Stage(case.subject, known=False).perform()
    stage = Stage(case.subject)
    endings = [unknown, await stage.perform()]
    stage.change()
    endings.append(await stage.perform())
    return any(each.erasure and any(sent.status == 404 for sent in each.exchanges) for each in endings)


async def html_404(case: Case) -> None:
    """A web server's page proves nothing: the base URL is wrong or the feature is off."""
    await _always(case, answers(404), Misconfigured)


async def login_page(case: Case) -> None:
    """200 with a page is whoever stands before the service."""
    await _always(case, answers(200), Misconfigured)


async def redirected(case: Case) -> None:
    """302 to a login: following it would give the credentials away, or succeed at nothing."""
    await _always(case, answers(302, location=f"https://login.example/?next={EMAIL}"), Misconfigured)


async def forbidden(case: Case) -> None:
    """403 is a permission that is missing: nobody's fault, and no matter of time."""
    await _always(case, answers(403, {"detail": f"not for {USERNAME}"}), Misconfigured)


async def down_for_long(case: Case) -> None:
    """5xx for ever is a matter of time, after a bounded number of tries."""
    for status in (500, 503):
        await _always(case, answers(status), Transient)
    for place in await case.places():
        # A 500 in the service's own manner may be about this learner, who is blamed only once it has been tried again.
        where = f"{at(place, (await case.plain()).exchanges)}, 500 with JSON"
        ending = await case.ends(Fault(answers(500, {"message": f"failed for {EMAIL}"}), place), where)
        if ending.error is not None or not await _done_before(case, place):
            again = len(ending.exchanges) > place + 1
            must_be(ending, where, *((Transient, Refused) if again else (Transient,)))


async def hangs(case: Case) -> None:
    """No answer: a matter of time, and of a time-out that every request carries."""
    await _always(case, breaks(httpx.ReadTimeout), Transient)
    for place, exchange in enumerate((await case.plain()).exchanges):
        limits = exchange.request.extensions.get("timeout", {})
        if not limits or any(limit is None or limit > LONGEST for limit in limits.values()):
            raise Broken(f"{at(place, (await case.plain()).exchanges)}: waits longer than {LONGEST} s")


async def no_connection(case: Case) -> None:
    """The service does not listen: a matter of time."""
    await _always(case, breaks(httpx.ConnectError), Transient)


async def _always(case: Case, does: Does, kind: type[Exception]) -> None:
    """From each request on; nothing is done then, so no outcome can be true."""
    for place in await case.places():
        where = at(place, (await case.plain()).exchanges)
        ending = await case.ends(Fault(does, place), where)
        if ending.error is not None or not await _done_before(case, place):
            must_be(ending, where, kind)
        if len(ending.exchanges) > 4 * len((await case.plain()).exchanges) + 4:
            raise Broken(f"{where}: {len(ending.exchanges)} requests, and it does not give up")


async def _done_before(case: Case, place: int) -> bool:
    """Whether everything was done by the requests before: what follows is courtesy, and may fail quietly."""
    stage = Stage(case.subject)
    await stage.perform(Fault(breaks(httpx.ConnectError), place))
    return await case.true(stage.change())


async def false_success(case: Case) -> None:
    """200 with something else inside is no proof, be it once or from there on."""
    for place in await case.places():
        lies = [each for each in LIES if not await case.means_nothing(each)]
        if case.declared.status_only:
            # Of these only what is no object, or reports a failure, can be told from a success.
            lies = [each for each in lies if not isinstance(each, dict) or "error" in each]
        for lie, times in [*((each, 1) for each in lies), *((each, None) for each in lies[:1])]:
            where = f"{at(place, (await case.plain()).exchanges)}, 200 with the body {_shape(lie)}"
            await case.ends(Fault(answers(200, lie), place, times), where)


async def another_success(case: Case) -> None:
    """Every other 2xx, with every kind of body, is no proof: a gateway's challenge is a 202 without a body."""
    plain = await case.plain()
    for place in await case.places():
        for status, kind, body in OTHERS:
            sent = plain.exchanges[place]
            if (status, body.encode()) in [(sent.status, sent.body), *await case.nothings()]:
                continue  # the service's own word, which no answer alone can prove wrong
            if case.declared.status_only and status == 204:
                continue  # what a private service may say
            where = f"{at(place, plain.exchanges)}, {status} with {_called(kind, body)}"
            await case.ends(Fault(says(status, kind, body), place), where)


def says(status: int, kind: str, body: str) -> Does:
    """An answer in place of the service's, of whatever kind."""

    async def does(_request: httpx.Request, _forward: Forward) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": kind}, content=body.encode())

    return does


def _called(kind: str, body: str) -> str:
    return f"{kind}, {len(body)} characters" if body else "an empty body"


def _shape(lie: Any) -> str:
    if isinstance(lie, dict):
        return f"{{{', '.join(f'{key}: …' for key in lie)}}}"
    return "null" if lie is None else f"a bare {'text' if isinstance(lie, str) else 'number'}"


async def renewed_token(case: Case) -> None:
    """401 once: a second token is fetched once; a secret that stays as it is is simply wrong."""
    plain = await case.plain()
    for place in await case.places():
        if plain.exchanges[place].signs_in:
            continue
        where = at(place, plain.exchanges)
        ending = await case.ends(Fault(answers(401, {"detail": "stale"}), place, 1), where)
        tokens, tokens_before = (sum(sent.signs_in for sent in each.exchanges) for each in (ending, plain))
        if tokens > tokens_before + 1:
            raise Broken(f"{where}: {tokens - tokens_before} tokens are fetched for one 401")
        if tokens == tokens_before:
            must_be(ending, f"{where}: signed with a secret that stays", Misconfigured)
        else:
            await case.same(ending, where)


async def wrong_credentials(case: Case) -> None:
    """401 for ever: nobody's fault, and no matter of time."""
    for sign_in in (False, True):
        for place in await case.places():
            if not sign_in and (await case.plain()).exchanges[place].signs_in:
                continue
            where = at(place, (await case.plain()).exchanges)
            fault = Fault(answers(401, {"error": f"who is {USERNAME}"}), place, sign_in=sign_in)
            ending = await case.ends(fault, where)
            must_be(ending, where, Misconfigured)
            if ending.naps and len(ending.naps) > len((await case.plain()).naps):
                raise Broken(f"{where}: waits for credentials to become right")


async def told_to_wait_in_seconds(case: Case) -> None:
    """429 with a number: it waits as long as it is told, and then succeeds."""
    await _waits(case, lambda: "7", 7)


async def told_to_wait_until_a_date(case: Case) -> None:
    """429 with a date."""
    await _waits(case, lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=11), usegmt=True), 8)


async def _waits(case: Case, header: Any, least: float) -> None:
    for place in await case.places():
        where = at(place, (await case.plain()).exchanges)
        stage = Stage(case.subject)
        ending = await stage.perform(Fault(answers(429, {"detail": EMAIL}, retry_after=header()), place, 1))
        check_error(ending, where)
        if isinstance(ending.error, RateLimited) and case.looks_first:
            # Its caller waits, and is told how long.
            if ending.error.retry_after < least:
                raise Broken(f"{where}: whoever repeats it is not told how long to wait")
            ending = await stage.perform()
        elif max(ending.naps, default=0) < least:
            raise Broken(f"{where}: waits {max(ending.naps, default=0):.1f} s where it is told {least} and more")
        ending.change = stage.change()
        await case.is_true(ending, where)
        await case.same(ending, where)


async def down_for_a_moment(case: Case) -> None:
    """503 once: tried again within the call, or by its caller where it looks first."""
    await _recovers(case, answers(503), exactly=True)


async def answer_lost(case: Case) -> None:
    """The work was done and the connection broke: called again, the end is the same and nothing is done twice."""
    await _recovers(case, breaks(httpx.RemoteProtocolError, after=True))


async def answer_late(case: Case) -> None:
    """The work was done and the answer took too long."""
    await _recovers(case, breaks(httpx.ReadTimeout, after=True))


async def _recovers(case: Case, does: Does, *, exactly: bool = False) -> None:
    plain = await case.plain()
    for place in await case.places():
        where = at(place, plain.exchanges)
        stage = Stage(case.subject)
        ending = await stage.perform(Fault(does, place, 1))
        check_error(ending, where)
        if isinstance(ending.error, Transient) and case.looks_first:
            ending = await stage.perform()
            check_error(ending, f"{where}, then again")
        ending.change = stage.change()
        if plain.erasure is None or exactly:
            await case.same(ending, where)
        elif ending.erasure is None:
            raise Broken(f"{where}: ends as {ending.said}")
        await case.is_true(ending, where)
        if case.looks_first:
            _no_more_than(plain, ending.change.added, where)


async def answer_cut_off(case: Case) -> None:
    """Half of an answer: read as no answer, never as a success that was not one."""
    plain = await case.plain()
    for place in await case.places():
        where = at(place, plain.exchanges)
        ending = await case.ends(Fault(_halved, place, 1), where)
        if ending.error is not None:
            must_be(ending, where, Refused, Misconfigured, Transient, StateConflict)
