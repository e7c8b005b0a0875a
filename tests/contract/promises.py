"""What an operation promises beside its outcome: its declaration, its settings, its probe and its question."""

from __future__ import annotations

import hashlib
import inspect
import re
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import httpx
from pydantic import BaseModel, ValidationError

from retirement.connectors import Identity, Verdict
from retirement.errors import Misconfigured, Transient
from tests.contract.situations import LIES, OTHERS, answers, at, breaks, says
from tests.contract.stage import LATER, NOW, Ending, Fault, Stage
from tests.contract.subjects import secrets_in
from tests.contract.suite import Broken, Case, NotApplicable, check_error, check_secrets, must_be
from tests.unit.doubles import EMAIL, NAME, USERNAME

#: Settings that are secrets by their names.
SECRET = re.compile(r"(secret|password|passphrase|_token|api_key|private_key|secret_key|bearer)$|^token$")


async def documented(case: Case) -> None:
    """The first line of the docstring is the operator's manual; connector and module say where facts come from."""
    kind = case.subject.kind
    if not re.fullmatch(r"[A-Z].{18,}\.", case.declared.doc):
        raise Broken("the first line of its docstring is no sentence")
    if not kind.__dict__.get("__doc__"):
        raise Broken("its connector has no docstring")
    if "ontract" not in (inspect.getmodule(kind).__doc__ or ""):
        raise Broken("its module does not say which contract it follows")


async def settings_are_strict(case: Case) -> None:
    """An unknown setting is refused, every setting is described, and no error quotes a value."""
    settings, section = case.subject.kind.Settings, case.subject.section
    try:
        settings(**section, speling=EMAIL)
    except ValidationError as error:
        if EMAIL in str(error) or any(secret in str(error) for secret in secrets_in(settings(**section))):
            raise Broken("an unknown setting is refused with its value") from None
    else:
        raise Broken("an unknown setting is taken")
    for name, field in settings.model_fields.items():
        if not field.description or "\n" in field.description:
            raise Broken(f"the setting {name} is not described in a line")


async def secrets_are_masked(case: Case) -> None:
    """In the text, the dump and the JSON of the settings and of the connector; secrets are known by their type."""
    settings = case.subject.kind.Settings(**case.subject.section)
    shown = [repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()]
    shown.append(repr(Stage(case.subject).connector()))
    check_secrets(case.subject, shown, "settings")
    for name in _bare_secrets(case.subject.kind.Settings):
        raise Broken(f"the setting {name} is a secret by its name and not by its type")


def _bare_secrets(kind: type[BaseModel]) -> list[str]:
    fields = kind.model_fields.items()
    return [name for name, field in fields if SECRET.search(name) and "SecretStr" not in str(field.annotation)]


async def secrets_stay_in(case: Case) -> None:
    """No error and no line of the log shows a secret, whatever comes back."""
    for place in await case.places():
        for status in (400, 401, 403, 500):
            stage = Stage(case.subject)
            body = {"detail": " ".join(secrets_in(case.subject.kind.Settings(**case.subject.section)))}
            ending = await stage.perform(Fault(answers(status, body), place))
            check_secrets(case.subject, [str(ending.error), repr(ending.error), ending.log], at_status(status))


def at_status(status: int) -> str:
    """How a case is called that is about a status only."""
    return f"an answer of {status}"


async def declared_as_sent(case: Case) -> None:
    """Its route is among its requests, and it tells the service no more of the learner than it declares."""
    plain = await case.plain()
    sent = [each.request for each in plain.exchanges if not each.signs_in]
    if not sent:
        raise NotApplicable("it sends nothing over HTTP")
    route = Stage(case.subject).connector().route(case.subject.operation)
    if route is not None and not any(_fits(request, route.method, route.path) for request in sent):
        raise Broken(f"declares {route.method} {route.path} and never sends it")
    told = {need for request in sent for need, words in (await _words(case)).items() if _says(request, words)}
    if undeclared := told - case.declared.needs:
        raise Broken(f"tells the service {', '.join(sorted(undeclared))}, which it does not declare")


def _fits(request: httpx.Request, method: str, path: str) -> bool:
    parts = re.split(r"\{\w+\}", path)
    pattern = "[^/]+".join(re.escape(part) for part in parts)
    return (
        request.method == method
        and re.search(f"{pattern}$", request.url.raw_path.decode().partition("?")[0]) is not None
    )


async def _words(case: Case) -> dict[Identity, list[str]]:
    learner = await Stage(case.subject).learner()
    digest = hashlib.md5(EMAIL.lower().encode(), usedforsecurity=False).hexdigest()
    return {
        Identity.USER_ID: [rf"\b{learner.user_id}\b"],
        Identity.USERNAME: [rf"(?<![\w@.]){re.escape(USERNAME)}(?![\w@])"],
        Identity.EMAIL: [re.escape(EMAIL), digest],
        Identity.NAME: [re.escape(NAME)],
        Identity.RETIRED_USERNAME: [rf"{re.escape(learner.retired_username)}(?!@)"],
        Identity.RETIRED_EMAIL: [re.escape(learner.retired_email)],
    }


def _says(request: httpx.Request, words: list[str]) -> bool:
    target = request.url.raw_path.decode()
    body = request.content.decode(errors="replace")
    texts = [unquote(target), unquote(target.replace("+", " ")), body, unquote(body), unquote(body.replace("+", " "))]
    return any(re.search(word, text, re.IGNORECASE) for word in words for text in texts)


async def probed(case: Case) -> None:
    """Its probe does nothing, shows that address and credentials work, and says so when they do not."""
    plain = await case.plain()
    stage = Stage(case.subject)
    ending = await stage.probe()
    change = stage.change(NOW)
    check_error(ending, "probe")
    if change.gone or change.added:
        raise Broken("its probe changes something")
    if type(ending.error) is not type(plain.error) and not case.declared.refused_because:
        raise Broken(f"its probe ends as {ending.said}, and the operation as {plain.said}")
    if not ending.exchanges:
        if plain.exchanges:
            raise Broken("its probe asks nobody")
        raise NotApplicable("it sends nothing over HTTP")
    await _trouble(lambda fault: Stage(case.subject).probe(fault), ending, "probe")
    # What an operator declares is proved by a status alone.
    for place in range(len(ending.exchanges) if case.declared.success else 0):
        for status, kind, body in OTHERS:
            if (status, body.encode()) == _said(ending, place):
                continue
            told = await Stage(case.subject).probe(Fault(says(status, kind, body), place))
            where = f"probe, {at(place, ending.exchanges)}, {status} with {kind} of {len(body)} characters"
            check_error(told, where)
            if told.error is None:
                raise Broken(f"{where}: is taken for a service that works")


async def asked_about(case: Case) -> None:
    """The question changes nothing, and never says that data is gone which is there."""
    plain = await case.works()
    if case.declared.asks is None or plain.erasure is None or plain.erasure.receipt is None:
        raise NotApplicable("it cannot be asked about, or gives no receipt here")
    stage = Stage(case.subject)
    receipt = _receipt(await stage.perform())
    await _truly_asked(case, stage, receipt, NOW, "asked right after it")
    ending = await _truly_asked(case, stage, receipt, LATER, "asked two months later")

    async def asked(fault: Fault) -> Ending:
        again = Stage(case.subject)
        return await again.ask(_receipt(await again.perform()), fault)

    await _trouble(asked, ending, "asked about")
    for place in range(len(ending.exchanges)):
        for lie in LIES:
            told = await asked(Fault(answers(200, lie), place))
            where = f"asked about, {at(place, ending.exchanges)}"
            check_error(told, where)
            if told.verdict is Verdict.GONE:
                raise Broken(f"{where}: 200 with something else inside is taken for gone")
        for status, kind, body in OTHERS:
            told = await asked(Fault(says(status, kind, body), place))
            where = f"asked about, {at(place, ending.exchanges)}, {status} with {kind} of {len(body)} characters"
            check_error(told, where)
            if told.verdict is Verdict.GONE and (status, body.encode()) != _said(ending, place):
                raise Broken(f"{where}: is taken for gone")


def _said(ending: Ending, place: int) -> tuple[int | None, bytes]:
    return ending.exchanges[place].status, ending.exchanges[place].body


def _receipt(ending: Ending) -> str:
    if ending.erasure is None or ending.erasure.receipt is None:
        raise Broken(f"gives a receipt once, and ends as {ending.said} without one when called anew")
    return ending.erasure.receipt


async def _truly_asked(case: Case, stage: Stage, receipt: str, later: timedelta, when: str) -> Ending:
    """Asks, and compares the verdict with the tables."""
    change = stage.change(later)
    before = stage.rows()
    ending = await stage.ask(receipt)
    check_error(ending, when)
    if stage.rows() != before:
        raise Broken(f"{when}, the question itself changes something")
    if ending.verdict is None:
        raise Broken(f"{when}, it ends as {ending.said}")
    done = await case.true(change) and not change.left
    if ending.verdict is Verdict.GONE and not done:
        raise Broken(f"{when}, it says gone, and the data is there")
    if later and done and ending.verdict is not Verdict.GONE:
        raise Broken(f"{when}, it says {ending.said}, and the data is gone")
    return ending


async def _trouble(call: Any, plain: Ending, what: str) -> None:
    """The troubles of every request, for those that only ask."""
    for place in range(len(plain.exchanges)):
        for does, kind, name in (
            (answers(404), Misconfigured, "an HTML 404"),
            (answers(200), Misconfigured, "a login page"),
            (answers(401, {"detail": EMAIL}), Misconfigured, "401"),
            (answers(503), Transient, "503"),
            (breaks(httpx.ReadTimeout), Transient, "no answer"),
        ):
            where = f"{what}, {at(place, plain.exchanges)}, {name}"
            ending = await call(Fault(does, place))
            check_error(ending, where)
            must_be(ending, where, kind)
