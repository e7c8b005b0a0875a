"""Authentication at the door, and the look into the ledger for what was granted."""

from collections.abc import Mapping

from fastapi.requests import HTTPConnection

from retirement.api.around import SAFE
from retirement.api.issuers import Issuers
from retirement.api.pace import People
from retirement.api.people import Person, opaque
from retirement.api.refusals import Forbidden, Unauthenticated, Unavailable
from retirement.api.sessions import Sessions
from retirement.api.tokens import Claims, Issuer, groups_in, issuer_in, require_unrestricted
from retirement.config import DoorSettings
from retirement.errors import LedgerError
from retirement.ledger import Action, Area, Ledger, Permission


class Gate:
    """Finds out who asks, and what they may do. `provider` signs people in, `learners` is the LMS, if any."""

    def __init__(
        self,
        settings: DoorSettings,
        ledger: Ledger,
        sessions: Sessions,
        issuers: Issuers,
        people: People,
    ) -> None:
        self.settings, self.ledger, self.sessions = settings, ledger, sessions
        self.provider, self.learners, self.people = issuers.people, issuers.learners, people
        self.issuers: Mapping[str, Issuer] = {each.name: each for each in (issuers.learners, issuers.people) if each}
        prefix = "__Host-" if settings.is_secure else ""
        self.cookie = f"{prefix}retirement"

    async def person(self, connection: HTTPConnection) -> Person:
        """Who asks; the request counts. Raises `Unauthenticated`, `Forbidden`, `TooMany` or `Unavailable`."""
        person = await self.known(connection)
        self.people.count(person.holder)
        return person

    async def known(self, connection: HTTPConnection) -> Person:
        """Who asks, without counting it."""
        given = connection.headers.getlist("authorization")
        if given:
            return await self.of_header(given)
        return self._of_session(connection)

    async def of_header(self, given: list[str]) -> Person:
        """Who has the token of an `Authorization` header."""
        word, _, token = given[0].partition(" ")
        if len(given) > 1 or word.lower() not in ("bearer", "jwt"):
            raise Unauthenticated("give an access token, as Authorization: Bearer …")
        issuer = self.issuers.get(issuer_in(token))
        if issuer is None:
            raise Unauthenticated("the token is of an issuer that is not taken here")
        claims = await issuer.claims(token)
        if issuer is self.learners:
            require_unrestricted(claims)
        return self.of_claims(claims, "bearer")

    def of_claims(self, claims: Claims, channel: str) -> Person:
        """The person of a token that was checked."""
        is_learner = self.learners is not None and claims["iss"] == self.learners.name
        groups = frozenset[str]() if is_learner else groups_in(claims, self.settings.groups_claim)
        user_id = claims["user_id"] if is_learner else None
        return Person(opaque(str(claims["sub"])), str(claims["iss"]), groups, channel, user_id)

    def _of_session(self, connection: HTTPConnection) -> Person:
        session = self.sessions.found(connection.cookies.get(self.cookie, ""))
        if session is None:
            raise Unauthenticated("sign in, or give an access token as Authorization: Bearer …")
        # A cookie comes with whatever a page has the browser send; the page's origin is checked around all routes,
        # so here it only has to be known. A browser says it with every request that changes something.
        is_changing = connection.scope["type"] == "websocket" or connection.scope["method"] not in SAFE
        site = connection.headers.get("sec-fetch-site")
        if is_changing and "origin" not in connection.headers and site != "same-origin":
            raise Forbidden("the request does not say of which page it is")
        return session.person

    async def granted(self, person: Person) -> list[Permission]:
        """What was granted to a person, wherever. Raises `Unavailable`."""
        try:
            return await self.ledger.permissions.of(person.holder)
        except LedgerError:
            raise Unavailable("the ledger does not answer, so that no permission can be looked up") from None

    def of_groups(self, person: Person, area: Area, instance: str = "") -> set[str]:
        """What a person may do in one place as a member of groups of the provider."""
        if person.issuer != self.provider.name:
            return set()
        there = self.settings.organizations.get(instance, {}) if area is Area.ORGANIZATION else {}
        given = [groups.get(each, ()) for groups in (self.settings.groups, there) for each in person.groups]
        return {action.value for actions in given for action in actions}

    async def is_permitted(self, person: Person) -> bool:
        """Whether a person may do anything anywhere, as an operator of the site or of an organisation."""
        of_site, of_organizations = self.settings.groups, self.settings.organizations.values()
        groups = {*of_site, *(name for each in of_organizations for name in each)}
        is_member = person.issuer == self.provider.name and not groups.isdisjoint(person.groups)
        return is_member or any(each.actions for each in await self.granted(person))

    async def may(self, person: Person, area: Area, instance: str = "") -> set[str]:
        """The actions that a person may do in one place; what holds for the system holds for each organisation.

        None by a token of the LMS: it names no client, so every application of the LMS could give one here.
        """
        if person.lms_user_id is not None and person.channel != "session":
            return set()
        places = {(Area.SYSTEM.value, ""), (area.value, instance)}
        granted = await self.granted(person)
        named = {action for each in granted if (each.domain, each.instance) in places for action in each.actions}
        return named | self.of_groups(person, area, instance)

    async def permits(self, person: Person, action: Action, area: Area = Area.SYSTEM, instance: str = "") -> bool:
        """Whether a person may do this."""
        return action.value in await self.may(person, area, instance)
