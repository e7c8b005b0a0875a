"""Tokens: which provider has made one, for whom, and whether it may be taken for the right to do something here.

What a token says is believed after its signature was checked only. Refusals never quote a token: one that has
expired an hour ago still names a person.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from retirement.api.keys import Key, Keys
from retirement.api.refusals import Unauthenticated

#: Characters of a token; those with hundreds of roles have some thousand.
LARGEST_TOKEN = 16 * 1024
#: Seconds by which two clocks may differ.
LEEWAY_SECONDS = 10
#: Seconds that a token may live at most: it cannot be taken back, so one of years is a password.
LONGEST_SECONDS = 7 * 86_400
_SHAPE = re.compile(r"[A-Za-z0-9_-]{1,4096}\.[A-Za-z0-9_-]{2,16000}\.[A-Za-z0-9_-]{1,4096}")
#: Heads of access tokens: RFC 9068 has the second, and most providers the first or none.
_ACCESS_HEADS = (None, "jwt", "at+jwt", "application/at+jwt")
#: What only ID tokens and logout tokens have (OpenID Connect Core, 2; Back-Channel Logout, 2.4).
_OF_OTHER_TOKENS = ("nonce", "at_hash", "c_hash", "events")

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Issuer:
    """A provider whose tokens are taken: its name in `iss`, its keys, its signatures, and what a token has to be."""

    name: str
    keys: Keys
    algorithms: Sequence[str]
    #: Raises `Unauthenticated` for a token that is good, and not for us or not for this.
    require: Callable[[Claims, Mapping[str, Any]], None]

    async def claims(self, token: str) -> Claims:
        """What an access token says. Raises `Unauthenticated`, and `Unavailable` where it cannot be checked."""
        head, claims = await self.verified(token)
        self.require(claims, head)
        return claims

    async def verified(
        self, token: str, required: Sequence[str] = ("iss", "sub", "iat", "exp")
    ) -> tuple[Mapping[str, Any], Claims]:
        """Head and claims of a token of any kind: signature, issuer and times are checked, what it is for is not.

        `required` are the claims that it has to have.
        """
        head = head_of(token)
        algorithm, kid = head.get("alg"), head.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self.algorithms:
            raise Unauthenticated("the token is not signed as tokens of its issuer are")
        if "crit" in head or not isinstance(kid, str | None):
            raise Unauthenticated("the head of the token has what is not understood here")
        keys = await self.keys.fitting(kid, algorithm)
        return head, self._claims(token, keys, algorithm, required)

    def _claims(self, token: str, keys: Sequence[Key], algorithm: str, required: Sequence[str]) -> Claims:
        problem = "the signature of the token is not its issuer's"
        for key in keys:
            try:
                claims: Claims = jwt.decode(
                    token,
                    key.public,
                    [algorithm],
                    {"require": list(required), "verify_aud": False},
                    issuer=self.name,
                    leeway=LEEWAY_SECONDS,
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                problem = "the token has expired"
            except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError):
                problem = "the token is not one that counts now"
            else:
                wrong = _problem_of_times(claims)
                if wrong is None:
                    return claims
                problem = wrong
        raise Unauthenticated(problem)


def _problem_of_times(claims: Claims) -> str | None:
    """What is wrong with the times of a token that has not expired. The library reads texts as numbers, we do not."""
    times = [claims[name] for name in ("iat", "nbf", "exp") if name in claims]
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in times):
        return "the times of the token are no numbers"
    return "the token lives longer than a week" if claims.get("exp", 0) - claims["iat"] > LONGEST_SECONDS else None


def _piece(text: str) -> Mapping[str, Any]:
    """A part of a token, unchecked."""
    try:
        read = json.loads(jwt.utils.base64url_decode(text.encode()))
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise Unauthenticated("this is no token")
    return read


def head_of(token: str) -> Mapping[str, Any]:
    """The head of a token, unchecked. Raises `Unauthenticated` for what is no token, before any of it is decoded."""
    if len(token) > LARGEST_TOKEN or not _SHAPE.fullmatch(token):
        raise Unauthenticated("this is no token")
    return _piece(token.split(".", 1)[0])


def issuer_in(token: str) -> str:
    """The issuer that a token names, unchecked, to choose the keys by which it is checked."""
    head_of(token)
    return str(_piece(token.split(".")[1]).get("iss"))


def for_us(audience: str | None, client_id: str) -> Callable[[Claims, Mapping[str, Any]], None]:
    """The check of an access token of the OpenID provider (contract of the services, section D2)."""

    def require(claims: Claims, head: Mapping[str, Any]) -> None:
        _require_access(claims, head)
        if (audience or client_id) in audiences(claims):
            return
        if audience is not None or claims.get("azp") != client_id:
            raise Unauthenticated("the token is for another audience")

    return require


def _require_access(claims: Claims, head: Mapping[str, Any]) -> None:
    """Raises `Unauthenticated` for a token that says who a person is, and permits nothing."""
    kind, declared = _lower(head.get("typ")), claims.get("typ")
    # An ID token of a provider that marks neither has no scope.
    is_marked = declared == "Bearer" or (kind or "").endswith("at+jwt") or "scope" in claims or "scp" in claims
    is_other = declared not in (None, "Bearer") or any(name in claims for name in _OF_OTHER_TOKENS)
    if kind not in _ACCESS_HEADS or is_other or not is_marked:
        raise Unauthenticated("this is no access token")


#: Kinds of grants of the LMS by which no person has signed in.
_OF_PROGRAMS = frozenset({"client-credentials", "client_credentials"})
#: What a token of the LMS may be restricted to and still speak for its owner.
_OF_OWNER = "user:me"


def of_learner(audience: str) -> Callable[[Claims, Mapping[str, Any]], None]:
    """The check of a token of the LMS that speaks for its owner (contract, section 3)."""

    def require(claims: Claims, head: Mapping[str, Any]) -> None:
        if _lower(head.get("typ")) not in (None, "jwt") or any(name in claims for name in _OF_OTHER_TOKENS):
            raise Unauthenticated("this is no access token")
        if audience not in audiences(claims):
            raise Unauthenticated("the token is for another audience")
        _require_owner(claims)

    return require


def _require_owner(claims: Claims) -> None:
    """Raises `Unauthenticated` unless a learner has signed in for this token, for all that is theirs."""
    grant, filters, user_id = claims.get("grant_type"), claims.get("filters") or [], claims.get("user_id")
    if not isinstance(grant, str) or grant in _OF_PROGRAMS:
        raise Unauthenticated("the token is of a program, and no learner has signed in for it")
    if not isinstance(filters, list) or any(each != _OF_OWNER for each in filters):
        raise Unauthenticated("the token is restricted to other things")
    # JSON's true is no number.
    if type(user_id) is not int or user_id < 1:
        raise Unauthenticated("the token does not say which learner it is of: ask for the scope user_id")


def require_unrestricted(claims: Claims) -> None:
    """Raises `Unauthenticated` for a token of an application that the LMS restricts, which may do what its scopes say.

    No scope of the LMS is for this. In answer to the door's own code such a token still says who a person is.
    """
    if claims.get("is_restricted"):
        raise Unauthenticated("the token is of an application that the LMS restricts to other things")


def audiences(claims: Claims) -> Sequence[str]:
    """`aud`, which is a text or a list of texts."""
    found = claims.get("aud")
    return [found] if isinstance(found, str) else [each for each in found or [] if isinstance(each, str)]


def groups_in(claims: Claims, claim: str) -> frozenset[str]:
    """The groups that stand in a claim, whose name may have dots for one within another; none where it is absent."""
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for name in claim.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list) else frozenset()


def _lower(found: object) -> str | None:
    return None if found is None else str(found).lower()
