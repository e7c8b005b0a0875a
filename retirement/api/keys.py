"""The public keys of a provider: fetched, kept for a while, and fetched anew when a token names another one.

A provider that is down is bridged with the keys that are known, for a bounded time. A key that the provider has taken
away is taken no longer than `FRESH_SECONDS`, and the time of one answer, after.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from retirement.api.refusals import Unauthenticated, Unavailable
from retirement.errors import ConfigError, ServiceError

logger = logging.getLogger(__name__)

#: So long keys are taken without asking whether they are still there.
FRESH_SECONDS = 600.0
#: Between two questions, whatever tokens name and however often the provider fails.
PAUSE_SECONDS = 30.0
#: Keys of one set that are looked at.
MOST_KEYS = 32
#: Which key a signature is made with, and its smallest size in bits.
_READERS: Mapping[str, Callable[[dict[str, Any]], object]] = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk}
_KINDS = {"RS256": ("RSA", 2048), "RS512": ("RSA", 2048), "ES256": ("EC", 256)}


@dataclass(frozen=True, slots=True)
class Key:
    """One public key. `algorithm` is None where the provider does not say for which it is."""

    id: str | None
    kind: str
    algorithm: str | None
    public: RSAPublicKey | EllipticCurvePublicKey = field(repr=False)

    def fits(self, algorithm: str) -> bool:
        """Whether a signature of this algorithm may be checked with it."""
        kind, bits = _KINDS[algorithm]
        return self.kind == kind and self.algorithm in (None, algorithm) and self.public.key_size >= bits


Fetch = Callable[[], Awaitable[Mapping[str, Any]]]


class Keys:
    """The keys of one provider.

    `fetch` gives its JWK set, and raises `ServiceError` or `ConfigError`; `grace` is in seconds.
    """

    def __init__(self, fetch: Fetch, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._grace, self._clock = fetch, grace, clock
        self._keys: Sequence[Key] = ()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def fitting(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """The keys that a token with this head may be signed with, mostly one.

        Raises `Unauthenticated` where there is none, `Unavailable` where no keys are known or those that are known
        are too old.
        """
        is_known = bool(self._known(kid, algorithm))
        # One request waits for a provider that is slow; others go on with the key that they know.
        if not is_known or (not self._is_fresh() and not self._asking.locked()):
            await self._renew(kid, algorithm)
        if self._fetched_at is None or self._clock() - self._fetched_at > FRESH_SECONDS + self._grace:
            raise Unavailable("the sign-in provider does not answer, so that no token can be checked")
        if found := self._known(kid, algorithm):
            return found
        raise Unauthenticated("the token is signed with a key that its issuer does not have")

    def _is_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock() - self._fetched_at <= FRESH_SECONDS

    def _known(self, kid: str | None, algorithm: str) -> list[Key]:
        fitting = [each for each in self._keys if each.fits(algorithm)]
        return fitting if kid is None else [each for each in fitting if each.id == kid]

    async def _renew(self, kid: str | None, algorithm: str) -> None:
        async with self._asking:
            if self._is_fresh() and self._known(kid, algorithm):
                return  # another request has asked meanwhile
            now = self._clock()
            if self._asked_at is not None and now - self._asked_at < PAUSE_SECONDS:
                return
            self._asked_at = now
            try:
                self._keys = keys_of(await self._fetch())
            except (ServiceError, ConfigError) as error:
                logger.warning("the keys of the sign-in provider are not to be had: %s", error)
                return
            self._fetched_at = self._clock()


def keys_of(found: Mapping[str, Any]) -> list[Key]:
    """The keys of a JWK set that can check signatures; others are left out."""
    listed = found.get("keys")
    given = [each for each in listed[:MOST_KEYS] if isinstance(each, dict)] if isinstance(listed, list) else []
    read = [_key_of(each) for each in given if each.get("use", "sig") == "sig" and str(each.get("kty")) in _READERS]
    return [each for each in read if each]


def _key_of(told: Mapping[str, Any]) -> Key | None:
    """A key of a JWK set; None, and a line in the log, for one that cannot be read."""
    # What only the provider may have does not belong here, and is not needed to check.
    public = {name: value for name, value in told.items() if name != "d"}
    try:
        key = _READERS[told["kty"]](public)
    except (PyJWTError, ValueError, TypeError, KeyError):
        key = None
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        logger.warning("a key of the sign-in provider cannot be read and is left out")
        return None
    kid, algorithm = told.get("kid"), told.get("alg")
    return Key(kid if isinstance(kid, str) else None, told["kty"], None if algorithm is None else str(algorithm), key)
