"""The operators' door in the configuration: where it listens, whose tokens it takes, and who may do what."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from retirement.config.values import MachinePath, MachinePathOrUrl, Settings, Text
from retirement.ledger import Action
from retirement.wire.urls import is_loopback, problem_of

#: The signatures of tokens: by a key whose public half the provider shows, so that no secret is shared with it.
Algorithm = Literal["RS256", "ES256"]
_NO_TLS = "give door.certificate and door.key, listen on 127.0.0.1 behind a proxy, or say why in door.allow_insecure"


class DoorSettings(Settings):
    """The one thing that listens beyond this machine; without a permission all of it is refused."""

    url: Text = Field(
        description="Address of the door as browsers reach it, such as `https://retirement.example.com`; requests to "
        "another host are refused."
    )
    host: Text = Field(default="127.0.0.1", description="Address of this machine at which the door listens.")
    port: int = Field(default=4280, ge=1, le=65_535, description="Port at which the door listens.")
    certificate: MachinePath | None = Field(
        default=None, description="File with the certificate and those above it, in PEM; none: a proxy has it."
    )
    key: MachinePath | None = Field(
        default=None, description="File with the private key of `door.certificate`, in PEM."
    )
    allow_insecure: Text | None = Field(
        default=None,
        description="Reason why http:// beyond this machine is permitted to the door, such as a closed network of "
        "containers.",
    )
    trusted_proxies: tuple[Text, ...] = Field(
        default=(),
        description="Addresses or networks of the proxies whose `X-Forwarded-For` and `X-Forwarded-Host` count; of "
        "others they do not.",
    )
    provider: Literal["openid", "lms"] = Field(
        default="openid",
        description="What signs people in: `openid`, an OpenID Connect provider, or `lms`, the LMS' own OAuth2 "
        "provider, for a site that has no other.",
    )
    issuer: Text = Field(
        description="OpenID Connect provider, as it stands in `iss` of its tokens, such as "
        "`https://sso.example.com/realms/site`; of an LMS the address of its OAuth2, such as "
        "`https://courses.example.com/oauth2`."
    )
    client_id: Text = Field(description="Client of the door at the provider.")
    client_secret: SecretStr | None = Field(
        default=None, description="Secret of that client: `${NAME}`, `file:PATH` or `block:NAME`; none: it has none."
    )
    audience: Text | None = Field(
        default=None,
        description="What has to stand in `aud` of an access token; none: the client, which may stand in `azp` too.",
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256", "ES256"), description="Signatures that are taken: `RS256`, `ES256`."
    )
    endpoint_hosts: tuple[Text, ...] = Field(
        default=(), description="Further hosts on which the provider may have its endpoints, beside that of the issuer."
    )
    administrators: tuple[Text, ...] = Field(
        default=(), description="`sub` of those at the provider who are granted everything whenever `serve` starts."
    )
    groups: dict[Text, tuple[Action, ...]] = Field(
        default_factory=dict,
        description="Groups of the provider and what their members may do in the whole system, such as "
        "`{retirement-operators: [view, retire]}`.",
    )
    organizations: dict[Text, dict[Text, tuple[Action, ...]]] = Field(
        default_factory=dict,
        description="Organisations, and what members of groups may do in each, such as `{edX: {edx-staff: [report]}}`.",
    )
    groups_claim: Text = Field(
        default="groups",
        description="Claim in which the groups stand, with dots for one within another, such as `realm_access.roles`.",
    )
    session_minutes: int = Field(
        default=60, ge=5, le=720, description="How long a person stays signed in; then the provider is asked anew."
    )
    requests_per_minute: int = Field(
        default=1200,
        ge=10,
        le=100_000,
        description="Requests of one person, by any browser or program; further ones are answered 429.",
    )
    keys_hours: float = Field(
        default=4, ge=0, le=72, description="How long known keys of a provider that is down are still taken."
    )
    learners_keys: MachinePathOrUrl | None = Field(
        default=None,
        description="Public keys (JWK set) of the LMS, a file or an address: with them a learner's own token of the "
        "LMS is taken for what is their own; none: no token of the LMS is.",
    )
    learners_issuer: Text | None = Field(
        default=None,
        description="`iss` of the LMS' tokens (`JWT_ISSUER`); none: `door.issuer` where that is of the LMS, else "
        "`/oauth2` below `lms.url`.",
    )
    learners_audience: Text | None = Field(
        default=None, description="`aud` of the LMS' tokens (`JWT_AUDIENCE`). Needed with `door.learners_keys`."
    )

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the door by https."""
        return urlsplit(self.url).scheme == "https"

    @property
    def is_of_the_lms(self) -> bool:
        """Whether the LMS signs people in."""
        return self.provider == "lms"

    @property
    def has_keys_in_a_file(self) -> bool:
        """Whether the LMS' public keys are in a file and not at an address."""
        return self.learners_keys is not None and "://" not in self.learners_keys


def door_problems(door: DoorSettings) -> Iterator[tuple[str, str]]:
    """What cannot be between several of the settings, or shows only in a value: the key, and what is wrong."""
    yield from _problems_of_addresses(door)
    yield from _problems_of_listening(door)
    yield from _problems_of_people(door)
    if door.is_of_the_lms:
        yield from _problems_of_the_lms(door)
    if door.learners_keys is not None and door.learners_audience is None:
        yield "learners_keys", "needs door.learners_audience: a token of the LMS is for one audience"


def _problems_of_the_lms(door: DoorSettings) -> Iterator[tuple[str, str]]:
    if door.learners_keys is None:
        yield "provider", "needs door.learners_keys and door.learners_audience where it is lms: to check its tokens"
    if door.groups or door.organizations:
        key = "groups" if door.groups else "organizations"
        yield key, "is of no use with door.provider: lms, which tells no groups; grant permissions to people"


def _problems_of_addresses(door: DoorSettings) -> Iterator[tuple[str, str]]:
    remedy = "say why in door.allow_insecure"
    named = {"url": door.url, "issuer": door.issuer}
    if door.learners_keys is not None and not door.has_keys_in_a_file:
        named["learners_keys"] = door.learners_keys
    for key, url in named.items():
        if problem := problem_of(url, allow_insecure=door.allow_insecure is not None, remedy=remedy):
            yield key, problem
        elif key == "url" and urlsplit(url).path not in ("", "/"):
            yield "url", "has a path; give the door a host of its own, or a port"


def _problems_of_listening(door: DoorSettings) -> Iterator[tuple[str, str]]:
    if (door.certificate is None) != (door.key is None):
        there, gone = ("certificate", "key") if door.key is None else ("key", "certificate")
        yield there, f"needs door.{gone}"
    if door.certificate is None and door.allow_insecure is None and not is_loopback(door.host):
        yield "host", f"would listen in the clear beyond this machine; {_NO_TLS}"
    for index, each in enumerate(door.trusted_proxies):
        try:
            ip_network(each, strict=False)
        except ValueError:
            yield f"trusted_proxies[{index}]", "is no address and no network; write it as 10.0.0.7 or 10.0.0.0/8"


def _problems_of_people(door: DoorSettings) -> Iterator[tuple[str, str]]:
    if not door.algorithms:
        yield "algorithms", "is empty; give a value or remove the key"
    if not door.administrators and not any(Action.SET_PERMISSIONS in each for each in door.groups.values()):
        text = "names no person; give one `sub` of the provider, or a group with setPermissions, or all are refused"
        yield "administrators", text
