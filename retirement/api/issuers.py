"""Whose tokens the door takes: those of the provider that signs people in, and of the LMS, for learners."""

from collections.abc import Callable
from dataclasses import dataclass

from retirement.api.keys import Keys
from retirement.api.provider import Provider, keys_of_the_lms
from retirement.api.tokens import Issuer, for_us, of_learner
from retirement.config import Configuration, DoorSettings
from retirement.errors import ConfigError

#: How the LMS signs what it does not sign with a shared secret (contract, section 3).
_OF_THE_LMS = ("RS512", "RS256")


@dataclass(frozen=True, slots=True)
class Issuers:
    """The issuer of those who sign in, and that of learners; where the LMS signs people in they are one."""

    people: Issuer
    learners: Issuer | None


def issuers_of(
    configuration: Configuration, settings: DoorSettings, provider: Provider, clock: Callable[[], float]
) -> Issuers:
    """The issuers of a configuration. Raises `ConfigError`."""
    learners = _learners(configuration, settings, provider, clock)
    if not settings.is_of_the_lms:
        return Issuers(_people(settings, provider, clock), learners)
    if learners is None:
        raise ConfigError(f"{configuration.source}: door.provider: lms needs door.learners_keys")
    return Issuers(learners, learners)


def _people(settings: DoorSettings, provider: Provider, clock: Callable[[], float]) -> Issuer:
    return Issuer(
        settings.issuer,
        Keys(provider.keys, settings.keys_hours * 3600, clock),
        settings.algorithms,
        for_us(settings.audience, settings.client_id),
    )


def _learners(
    configuration: Configuration, settings: DoorSettings, provider: Provider, clock: Callable[[], float]
) -> Issuer | None:
    """The LMS, where the configuration has its keys. Raises `ConfigError`."""
    if settings.learners_keys is None or settings.learners_audience is None:
        return None
    fetch = keys_of_the_lms(settings.learners_keys, provider)
    usual = settings.issuer if settings.is_of_the_lms else f"{configuration.lms.url.rstrip('/')}/oauth2"
    name = settings.learners_issuer or usual
    if name == settings.issuer and not settings.is_of_the_lms:
        raise ConfigError(
            f"{configuration.source}: door.learners_issuer: {name} is door.issuer as well, so operators cannot be told"
            " from learners; give operators another provider, set door.provider: lms, or take door.learners_keys out"
        )
    keys = Keys(fetch, settings.keys_hours * 3600, clock)
    return Issuer(name, keys, _OF_THE_LMS, of_learner(settings.learners_audience))
