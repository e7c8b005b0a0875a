"""Who may call what: the permissions of the contract (lms.md 1.2, services.md A0)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from retirement.sandbox.identity import WORKER
from retirement.sandbox.routing import Gate
from retirement.sandbox.tokens import ANYBODY, Principal
from retirement.sandbox.wire import AbortError, Answer, ApiError, Request

if TYPE_CHECKING:
    from retirement.sandbox.platform import Platform

FORBIDDEN = "You do not have permission to perform this action."


def _is_worker(principal: Principal) -> bool:
    return principal.username == WORKER


def _is_superuser(principal: Principal) -> bool:
    return principal.is_superuser


def _jwt(permitted: Callable[[Principal], bool]) -> Gate:
    def gate(request: Request, platform: Platform) -> Principal:
        principal = platform.authenticator.principal(request)
        if not permitted(principal):
            raise ApiError(403, FORBIDDEN)
        return principal

    return gate


def open_to_all(request: Request, platform: Platform) -> Principal:
    """No credentials are looked at."""
    return ANYBODY


def proctoring(request: Request, platform: Platform) -> Principal:
    """Session authentication comes first here, which turns 401 into 403; a plain refusal is empty (1.1)."""
    try:
        principal = platform.authenticator.principal(request)
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
#: In a service of its own the name of the worker counts; an LMS superuser is nobody there.
service_worker = _jwt(_is_worker)
nobody = _jwt(lambda principal: False)
