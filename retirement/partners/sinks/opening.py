"""Makes the sinks that a configuration names; what a kind of sink needs is imported where it is used only."""

from collections.abc import Sequence
from pathlib import Path

from retirement.config.partners import AnySink, DriveSettings, FolderSettings, MailSettings, S3Settings, SftpSettings
from retirement.errors import ConfigError
from retirement.partners.sinks.folder import folder_sink
from retirement.partners.sinks.kit import Sink


def sinks_of(settings: Sequence[AnySink]) -> tuple[Sink, ...]:
    """The sinks, none of them asked for anything yet. Raises `ConfigError` for settings that cannot work."""
    return tuple(map(_sink, settings))


def _sink(settings: AnySink) -> Sink:
    try:
        return _made(settings)
    except ModuleNotFoundError:
        text = f"needs what is not installed; pip install 'openedx-retirement[{settings.kind}]'"
        raise ConfigError(f"partners.sinks {settings.name}: {text}") from None


def _made(settings: AnySink) -> Sink:
    match settings:
        case S3Settings():
            from retirement.partners.sinks.s3 import s3_sink

            return s3_sink(settings)
        case SftpSettings():
            from retirement.partners.sinks.sftp import sftp_sink

            return sftp_sink(settings)
        case MailSettings():
            from retirement.partners.sinks.mail import mail_sink

            return mail_sink(settings)
        case DriveSettings():
            from retirement.partners.sinks.drive import drive_sink

            return drive_sink(settings)
        case FolderSettings():
            return folder_sink(Path(settings.folder), settings.name, f"partners.sinks {settings.name}", settings.only)
