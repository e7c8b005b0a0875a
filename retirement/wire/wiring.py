"""What connectors are given to talk with: pools, tokens, retries and limits of one process."""

import time
from collections.abc import Callable, Mapping

from retirement.wire.api import Api, Auth, Retry
from retirement.wire.auth import TokenAuth, TokenSource
from retirement.wire.limits import Gate, Limits
from retirement.wire.pool import Pool


class Wiring:
    """Makes the `Api` of a service.

    `pool` gives the connections to a URL and closes them when the process is done; `gate` keeps a service's
    limits; `lms` are the tokens that Open edX services take.
    """

    def __init__(
        self,
        pool: Callable[[str], Pool],
        lms: TokenSource,
        *,
        retry: Retry | None = None,
        gate: Callable[[str, Limits], Gate] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retry = retry or Retry()
        self._pool, self._lms, self._clock = pool, lms, clock
        self._gate = gate or self._own_gate

    def _own_gate(self, _service: str, limits: Limits) -> Gate:
        return Gate(limits, clock=self._clock, sleep=self.retry.sleep)

    @property
    def jwt(self) -> Auth:
        """Signs as the retirement worker of the LMS."""
        return TokenAuth(self._lms)

    def api(self, service: str, url: str, *, auth: Auth | None = None, limits: Limits | None = None) -> Api:
        """Requests to one service at a base URL."""
        gate = self._gate(service, limits or Limits())
        return Api(service, self._pool(url), auth=auth, retry=self.retry, gate=gate)

    def oauth(
        self,
        service: str,
        url: str,
        path: str,
        form: Callable[[], Mapping[str, str]],
        *,
        lifetime: float | None = None,
    ) -> Auth:
        """Signs with Bearer tokens of an OAuth endpoint of that service, see `TokenSource`."""
        # Without a turn: a request that has one waits for the token.
        api = Api(service, self._pool(url), retry=self.retry)
        return TokenAuth(TokenSource(api, path, form, lifetime=lifetime, clock=self._clock))
