"""What a provider answers to a code, read: who has signed in, as an ID token or a token of the LMS says it."""

import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from retirement.api.gate import Gate
from retirement.api.people import Person
from retirement.api.refusals import Unauthenticated
from retirement.api.tokens import Claims, audiences

#: How the LMS calls the grant by which a person has signed in with a browser, in its tokens.
_BY_CODE = frozenset({"authorization-code", "authorization_code"})


class Answers(Protocol):
    """How a provider is asked, and what its answer says."""

    #: Further fields of the form with the code.
    form: Mapping[str, str]

    def query(self, nonce: str) -> Mapping[str, str]:
        """What is asked for at the authorization endpoint."""

    async def person(self, told: Mapping[str, Any], nonce: str) -> tuple[Person, str | None]:
        """Who has signed in, and the number of the provider's session. Raises `DoorError`."""


class OfOpenId:
    """An OpenID Connect provider: the ID token says it."""

    form: Mapping[str, str] = {}

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def query(self, nonce: str) -> Mapping[str, str]:
        """An ID token that is for this sign-in."""
        return {"scope": "openid", "nonce": nonce}

    async def person(self, told: Mapping[str, Any], nonce: str) -> tuple[Person, str | None]:
        """By the ID token, and the groups that stand beside it."""
        id_token = told.get("id_token")
        if not isinstance(id_token, str):
            raise Unauthenticated("the provider has answered without saying who signed in")
        _, claims = await self._gate.provider.verified(id_token)
        self._require_ours(claims, nonce)
        person = self._gate.of_claims(claims, "session")
        session = claims.get("sid")
        groups = person.groups or await self._groups_of_access(told.get("access_token"), claims)
        return replace(person, groups=groups), session if isinstance(session, str) else None

    def _require_ours(self, claims: Claims, nonce: str) -> None:
        """Raises `Unauthenticated` for an ID token that is not the answer to this sign-in (Core, 3.1.3.7)."""
        ours, told = self._gate.settings.client_id, audiences(claims)
        if claims.get("typ") not in (None, "ID") or ours not in told:
            raise Unauthenticated("the provider's answer is no ID token for the door")
        if claims.get("azp", ours) != ours or (len(told) > 1 and "azp" not in claims):
            raise Unauthenticated("the provider's answer was given to another client")
        found = claims.get("nonce")
        if not isinstance(found, str) or not is_same(found, nonce):
            raise Unauthenticated("the provider's answer is to another sign-in")

    async def _groups_of_access(self, token: object, claims: Claims) -> frozenset[str]:
        """The groups in the access token that came beside: some providers have them there only."""
        if not isinstance(token, str) or token.count(".") != 2:
            return frozenset()
        try:
            beside = await self._gate.provider.claims(token)
        except Unauthenticated:  # it is for another audience, or of a kind that says nothing to us
            return frozenset()
        return self._gate.of_claims(beside, "session").groups if beside["sub"] == claims["sub"] else frozenset()


class OfTheLms:
    """The LMS' own OAuth2 provider, which gives no ID token: its access token says it (contract, section 3).

    It names no client, so it counts because it came in answer to our code, over a connection of ours.
    """

    form: Mapping[str, str] = {"token_type": "jwt", "asymmetric_jwt": "true"}

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def query(self, nonce: str) -> Mapping[str, str]:
        """The number of the account and nothing that names a person; there is no nonce in these tokens."""
        return {"scope": "user_id"}

    async def person(self, told: Mapping[str, Any], nonce: str) -> tuple[Person, str | None]:
        """By the access token."""
        token = told.get("access_token")
        if not isinstance(token, str):
            raise Unauthenticated("the LMS has answered without saying who signed in")
        claims = await self._gate.provider.claims(token)
        if claims["grant_type"] not in _BY_CODE:
            raise Unauthenticated("the LMS has answered with a token of another kind of sign-in")
        return self._gate.of_claims(claims, "session"), None


def is_same(first: str, second: str) -> bool:
    """Whether two texts are one, in a time that does not tell where they differ."""
    return hmac.compare_digest(first.encode("utf-8", "surrogatepass"), second.encode("utf-8", "surrogatepass"))
