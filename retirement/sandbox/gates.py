"""Gates: the permissions of the contract (lms.md 1.2, services.md A0)."""

from __future__ import annotations

from collections.abc import Callable

from retirement.sandbox.routing import Gate
from retirement.sandbox.wire import AbortError, Answer, ApiError, Request
from retirement.sandbox.world import World
from retirement.sandbox.world.identity import WORKER
from retirement.sandbox.world.tokens import NO_ACCOUNT, Principal

FORBIDDEN = "You do not have permission to perform this action."


def _is_worker(principal: Principal) -> bool:
    return principal.username == WORKER


def _is_superuser(principal: Principal) -> bool:
    return principal.is_superuser


def _jwt(permitted: Callable[[Principal], bool]) -> Gate:
    def gate(request: Request, world: World) -> Principal:
        principal = world.authenticator.principal(request)
        if not permitted(principal):
            raise ApiError(403, FORBIDDEN)
        return principal

    return gate


def open_to_all(request: Request, world: World) -> Principal:
    """No credentials are looked at."""
    return NO_ACCOUNT


def proctoring(request: Request, world: World) -> Principal:
    """Session authentication comes first here, which turns 401 into 403; a plain refusal is empty (1.1)."""
    try:
        principal = world.authenticator.principal(request)
    except ApiError as error:
        raise ApiError(403, error.detail) from None
    if not (_is_worker(principal) or principal.is_superuser):
        raise AbortError(Answer(403))
    return principal


#: Django REST framework's IsAdminUser.
staff = _jwt(lambda principal: principal.is_staff)
any_account = _jwt(lambda principal: True)
can_retire = _jwt(lambda principal: _is_worker(principal) or principal.is_superuser)
can_cancel_retirement = _jwt(_is_superuser)
can_deactivate_users = _jwt(_is_superuser)
#: Superuser is not enough: only the name counts.
can_replace_username = _jwt(_is_worker)
#: In a service of its own the name of the worker counts; an LMS superuser has no rights there.
service_worker = _jwt(_is_worker)
never = _jwt(lambda principal: False)
