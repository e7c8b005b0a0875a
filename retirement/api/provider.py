"""The OpenID Connect provider of the door: what it says about itself, believed as far as it stays at home."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from retirement.api.keys import Fetch
from retirement.config import DoorSettings
from retirement.errors import ConfigError
from retirement.wire.api import Api, Retry
from retirement.wire.patience import Patience
from retirement.wire.pool import Pool
from retirement.wire.reply import Reply
from retirement.wire.urls import problem_of

#: What errors call it.
SERVICE = "sign-in provider"
DISCOVERY = "/.well-known/openid-configuration"
#: A request at the door waits for the answer, so there is one more try, at once: a connection may have been closed.
_RETRY = Retry(attempts=2, seconds=5, first_wait=0)
_LONGEST_ADDRESS = 2000

#: Connections to a base URL.
Pools = Callable[[str], Pool]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the provider is asked what; `secret_in` are the ways in which it takes the secret of a client."""

    authorization: str
    token: str
    keys: str
    end_session: str | None
    secret_in: Sequence[str]


class Provider:
    """Asks the provider."""

    def __init__(self, settings: DoorSettings, pools: Pools) -> None:
        self._settings = settings
        self._pools = pools
        self._apis: dict[str, Api] = {}
        self._endpoints: Endpoints | None = None

    async def endpoints(self) -> Endpoints:
        """What discovery says, asked until it has been answered once; those of an LMS are known.

        Raises `ServiceError` where it cannot be had or does not fit the issuer.
        """
        if self._endpoints is None and self._settings.is_of_the_lms:
            self._endpoints = endpoints_of_the_lms(self._settings)
        if self._endpoints is None:
            base = self._settings.issuer.rstrip("/")
            reply = await self._api(base).get(DISCOVERY, patience=Patience.KEYS)
            self._endpoints = self._checked(reply)
        return self._endpoints

    async def keys(self) -> Mapping[str, Any]:
        """The JWK set. Raises `ServiceError`."""
        return await self.document((await self.endpoints()).keys)

    async def document(self, url: str) -> Mapping[str, Any]:
        """The JSON object at an address. Raises `ServiceError`."""
        parts = urlsplit(url)
        reply = await self._api(_host(parts)).get(
            _template(parts.path), params=parse_qsl(parts.query), patience=Patience.KEYS
        )
        if not isinstance(reply.data, dict):
            raise reply.misconfigured("the answer is no JSON object")
        return reply.mapping

    async def asked(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        """The answer to a form, sent once: a code is good for one request. Raises `ServiceError`."""
        parts = urlsplit(url)
        return await self._api(_host(parts)).post(
            _template(parts.path),
            params=parse_qsl(parts.query),
            form=form,
            headers=headers,
            patience=Patience.KEYS,
            once=True,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        for api in self._apis.values():
            await api.aclose()

    def _api(self, base: str) -> Api:
        if base not in self._apis:
            self._apis[base] = Api(SERVICE, self._pools(base), retry=_RETRY)
        return self._apis[base]

    def _checked(self, reply: Reply) -> Endpoints:
        if reply.mapping.get("issuer") != self._settings.issuer:
            raise reply.misconfigured("it says that it is another issuer than door.issuer")
        end_session = reply.mapping.get("end_session_endpoint")
        methods = reply.mapping.get("token_endpoint_auth_methods_supported")
        return Endpoints(
            authorization=self._at_home(reply, "authorization_endpoint"),
            token=self._at_home(reply, "token_endpoint"),
            keys=self._at_home(reply, "jwks_uri"),
            end_session=self._at_home(reply, "end_session_endpoint") if end_session is not None else None,
            secret_in=[str(each) for each in methods] if isinstance(methods, list) else ["client_secret_basic"],
        )

    def _at_home(self, reply: Reply, name: str) -> str:
        """An address that the provider names. Raises `Misconfigured` for one that is not its own."""
        found = reply.mapping.get(name)
        if not isinstance(found, str) or len(found) > _LONGEST_ADDRESS:
            raise reply.misconfigured(f"it names no {name}")
        parts, home = urlsplit(found), urlsplit(self._settings.issuer)
        insecure = self._settings.allow_insecure is not None
        if problem_of(found.partition("?")[0], allow_insecure=insecure, remedy="") or parts.fragment:
            raise reply.misconfigured(f"its {name} is no address to which people and secrets can be sent")
        if parts.scheme != home.scheme and parts.scheme != "https":
            raise reply.misconfigured(f"its {name} is http:// where the issuer is https://")
        if parts.hostname not in (home.hostname, *self._settings.endpoint_hosts):
            raise reply.misconfigured(f"its {name} is on another host than the issuer; see door.endpoint_hosts")
        return found


def endpoints_of_the_lms(settings: DoorSettings) -> Endpoints:
    """Where the LMS signs people in and out (contract, section 3); it has no discovery that its releases share."""
    base = settings.issuer.rstrip("/")
    return Endpoints(
        authorization=f"{base}/authorize",
        token=f"{base}/access_token",
        keys=settings.learners_keys or "",
        end_session=f"{_host(urlsplit(base))}/logout",
        secret_in=["client_secret_post"],
    )


def keys_of_the_lms(place: str, provider: Provider) -> Fetch:
    """Fetches the public keys of the LMS, from a file or an address. Raises `ConfigError` for a bad file."""
    if "://" in place:
        return partial(provider.document, place)
    file = Path(place)
    keys_in(file)

    async def read() -> Mapping[str, Any]:
        return keys_in(file)

    return read


def keys_in(file: Path) -> Mapping[str, Any]:
    """A JWK set in a file. Raises `ConfigError`."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: door.learners_keys cannot be read: {error.strerror}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ConfigError(f'{file}: door.learners_keys is no JWK set; it looks as {{"keys": [{{"kty": "RSA", …}}]}}')
    return found


def _host(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _template(path: str) -> str:
    """A path that is no template: braces stand for themselves."""
    return path.replace("{", "{{").replace("}", "}}")
