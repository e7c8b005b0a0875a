"""Makes the sinks that a configuration names; what a kind of sink needs is imported where it is used only."""

from collections.abc import Sequence
from pathlib import Path

from retirement.config.partners import AnySink, FolderSettings
from retirement.errors import ConfigError
from retirement.partners.sinks.folder import folder_sink
from retirement.partners.sinks.kit import Sink


def sinks_of(settings: Sequence[AnySink]) -> tuple[Sink, ...]:
    """The sinks, none of them asked for anything yet. Raises `ConfigError` for settings that cannot work."""
    return tuple(map(_sink, settings))


def _sink(settings: AnySink) -> Sink:
    if isinstance(settings, FolderSettings):
        return folder_sink(Path(settings.folder), settings.name, f"partners.sinks {settings.name}", settings.only)
    try:
        from retirement.partners.sinks.s3 import s3_sink
    except ModuleNotFoundError:
        raise _missing(settings, "s3") from None
    return s3_sink(settings)


def _missing(settings: AnySink, extra: str) -> ConfigError:
    text = f"needs what is not installed; pip install 'openedx-retirement[{extra}]'"
    return ConfigError(f"partners.sinks {settings.name}: {text}")
