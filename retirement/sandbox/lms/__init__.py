"""The simulated LMS: one module per part of its API, and the list of all its routes."""

from __future__ import annotations

from retirement.sandbox.lms import (
    accounts,
    browser_sign_in,
    enrollments,
    learning,
    partner,
    queue,
    renaming,
    requests,
    status,
    steps,
    token,
)
from retirement.sandbox.routing import Route

ROUTES: list[Route] = [
    *token.ROUTES,
    *browser_sign_in.ROUTES,
    *queue.ROUTES,
    *status.ROUTES,
    *steps.ROUTES,
    *learning.ROUTES,
    *enrollments.ROUTES,
    *partner.ROUTES,
    *requests.ROUTES,
    *renaming.ROUTES,
    *accounts.ROUTES,
]
