"""Where the files of a run go: the folder of the operator, the sinks of the configuration, and the partners."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from retirement.config import Configuration
from retirement.errors import ConfigError, RetirementError, ServiceError
from retirement.partners.mapping import Partners
from retirement.partners.sinks.folder import folder_sink
from retirement.partners.sinks.kit import Sink
from retirement.partners.sinks.opening import sinks_of

#: What the folder of the operator is called in receipts.
REPORTS = "reports"


@dataclass(frozen=True, slots=True)
class Destination:
    """A folder, or none, and further sinks; `platform` stands in the names of files."""

    folder: Path | None
    platform: str
    others: tuple[Sink, ...] = ()
    partners: Partners = field(default_factory=Partners)

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Every sink, the folder first."""
        first = () if self.folder is None else (folder_sink(self.folder, REPORTS, "--output"),)
        return (*first, *self.others)

    @property
    def places(self) -> dict[str, str]:
        """Where each sink of the configuration is, by name."""
        return {each.name: each.place for each in self.others}

    async def require(self) -> dict[str, ServiceError]:
        """Asks every sink, before anything is claimed; those that cannot be used now, by name.

        Raises `ConfigError` with what is wrong in the settings of any, and the first error where no sink is left.
        """
        wrong: list[str] = []
        down: dict[str, ServiceError] = {}
        for sink in self.sinks:
            try:
                await sink.require()
            except ConfigError as error:
                wrong += map(str, error.args)
            except ServiceError as error:
                down[sink.name] = error
        if wrong:
            raise ConfigError(*wrong)
        if len(down) == len(self.sinks):
            raise next(iter(down.values()))
        return down

    async def close(self) -> list[RetirementError]:
        """Ends the connections of the sinks; what could not be ended is an error of a sink, and harms nothing."""
        errors: list[RetirementError] = []
        for sink in self.others:
            try:
                await sink.close()
            except RetirementError as error:
                errors.append(error)
        return errors


def destination(folder: Path | str | None, url: str) -> Destination:
    """The folder alone, with the host of the LMS as the name of the platform. Raises `ConfigError` without a folder."""
    if folder is None:
        raise ConfigError("partner_reports: the configuration names no folder for the files; set it")
    return Destination(_absolute(folder), _platform(url))


def destination_of(configuration: Configuration, output: Path | None = None) -> Destination:
    """What the configuration says, with `output` in the place of its folder. Raises `ConfigError` without any sink."""
    settings, folder = configuration.partners, output or configuration.partner_reports
    if folder is None and not settings.sinks:
        raise ConfigError(
            "partner_reports: the configuration names no folder for the files, and no partners.sinks; set one of them"
        )
    return Destination(
        None if folder is None else _absolute(folder),
        settings.platform or _platform(configuration.lms.url),
        sinks_of(settings.sinks),
        Partners(settings.organisations, settings.default, settings.headings),
    )


def _absolute(folder: Path | str) -> Path:
    return Path(folder).expanduser().absolute()


def _platform(url: str) -> str:
    return urlsplit(url).hostname or "lms"
