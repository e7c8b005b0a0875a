"""Configuration: a file of any of three dialects becomes typed settings, a checked pipeline and its connectors."""

from retirement.config.loading import DEFAULT_PATH, load
from retirement.config.rendering import as_own_dialect, describe
from retirement.config.settings import (
    BreakerSettings,
    Configuration,
    DatabaseSettings,
    GeneralSettings,
    GuardSettings,
    LedgerSettings,
    LmsSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
)

__all__ = [
    "DEFAULT_PATH",
    "BreakerSettings",
    "Configuration",
    "DatabaseSettings",
    "GeneralSettings",
    "GuardSettings",
    "LedgerSettings",
    "LmsSettings",
    "QueueSettings",
    "RetrySettings",
    "StepSettings",
    "as_own_dialect",
    "describe",
    "load",
]
