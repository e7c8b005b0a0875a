"""Configuration: a file of any of three dialects becomes typed settings, a checked pipeline and its connectors."""

from retirement.config.channels import TROUBLES, ChannelSettings, Occasion
from retirement.config.cron import Timed
from retirement.config.door import DoorSettings
from retirement.config.ledger import LedgerSettings
from retirement.config.loading import DEFAULT_PATH, load
from retirement.config.rendering import as_own_dialect, describe
from retirement.config.settings import (
    SCHEDULED,
    BreakerSettings,
    Configuration,
    DatabaseSettings,
    EngineEvents,
    EngineSettings,
    GeneralSettings,
    GuardSettings,
    LmsSettings,
    QueueSettings,
    RetrySettings,
    StepSettings,
)
from retirement.config.unsaid import Answers

__all__ = [
    "DEFAULT_PATH",
    "SCHEDULED",
    "TROUBLES",
    "Answers",
    "BreakerSettings",
    "ChannelSettings",
    "Configuration",
    "DatabaseSettings",
    "DoorSettings",
    "EngineEvents",
    "EngineSettings",
    "GeneralSettings",
    "GuardSettings",
    "LedgerSettings",
    "LmsSettings",
    "Occasion",
    "QueueSettings",
    "RetrySettings",
    "StepSettings",
    "Timed",
    "as_own_dialect",
    "describe",
    "load",
]
