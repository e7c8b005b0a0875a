"""Another record under a learner's name or address: a stranger who took what was free, or the person anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from retirement.connectors import Identity, registry
from retirement.errors import Ending
from retirement.followup.questions import CheckResult
from retirement.sandbox.vendors import VENDORS
from retirement.sandbox.vendors import realm as keycloak_realm
from retirement.site import Site

from .doubles import USERNAME, World, holder, line, names_nobody
from .test_confirmation import Case

pytestmark = pytest.mark.anyio


@pytest.fixture
def case(world: World) -> Case:
    return Case(world)


@pytest.fixture
def realm(case: Case) -> Site:
    """A site whose account of Keycloak is deleted, too."""
    wiring, _ = case.world.wiring()
    kind = registry()["KEYCLOAK"]
    section = VENDORS["keycloak"].settings("http://keycloak.sandbox", {}) | {"find_by": "username"}
    connector = kind.connected("KEYCLOAK", kind.Settings(**section), wiring)
    site = case.site(line(("KEYCLOAK", "KEYCLOAK", "delete_learner"), ("LMS", "LMS", "retirement_lms_retire")))
    return replace(site, connectors={**site.connectors, "KEYCLOAK": connector})


async def test_a_stranger_under_a_freed_name_is_left_alone_and_a_person_is_asked(case: Case, realm: Site) -> None:
    """Named at each verification until a person has looked; nothing is deleted."""
    case.world.seed(holder(USERNAME, vendors=["keycloak"]), states=realm.pipeline.lms_states)
    assert (await case.world.retire(realm, USERNAME)).ending is Ending.RETIRED
    with case.world.sandbox._platform.world.database.transaction() as db:
        names = {"username": USERNAME, "email": "stranger@mail.example", "first_name": "", "last_name": ""}
        db.execute(keycloak_realm.user.insert().values(uid="stranger", learner=0, enabled=True, origin="", **names))
    case.pass_by(hours=2)
    (found,) = await case.verify(realm)
    case.pass_by(hours=7)
    (again,) = await case.verify(realm)
    requests = [each["method"] for each in case.world.sandbox.requests if each["service"] == "keycloak"]
    (receipt,) = await case.receipts()

    assert (found.what, found.troubles, again.what) == (CheckResult.ANOTHER, True, CheckResult.ANOTHER)
    assert f"retirement confirm --receipt {receipt.id}" in found.text
    assert requests.count("DELETE") == 1
    assert names_nobody(found.text)


async def test_what_could_meet_another_persons_record_is_never_repeated(case: Case) -> None:
    """An operation that finds by address and has no receipt of ids: a person looks, and no request is sent."""
    site = await case.retired(USERNAME)
    connector = site.connectors["BRAZE"]
    by_address = replace(connector.policy("delete_user"), needs=frozenset({Identity.EMAIL}))
    connector.declared = lambda _settings: {"delete_user": by_address}  # type: ignore[method-assign]  # as one of a third party
    case.pass_by(minutes=16)
    await case.verify(site)
    case.returns()
    case.pass_by(days=15)
    calls = case.world.calls("braze")
    (left,) = await case.verify(site)

    assert (left.what, left.overdue) == (CheckResult.STILL_THERE, True)
    assert "retirement confirm --receipt" in left.text
    assert case.world.calls("braze") == calls + 1  # the question
    with pytest.raises(LookupError):
        await connector.repeat("delete_user", "1", await case.world.learner(site, USERNAME))
