"""When the schedules of a configuration come next, wherever its settings are shown."""

from datetime import UTC, datetime

from retirement.config import Configuration


def next_times(configuration: Configuration) -> dict[str, list[str]]:
    """The next two times of each schedule, by key."""
    now = datetime.now(UTC)
    return {
        key: [time.isoformat(timespec="minutes") for time in schedule.next_times(now)]
        for key, schedule in configuration.schedules.items()
    }


def lines(configuration: Configuration) -> list[str]:
    """The same as comments of YAML."""
    zones = {key: schedule.timezone for key, schedule in configuration.schedules.items()}
    return [f"# {key}: next {', then '.join(times)} ({zones[key]})" for key, times in next_times(configuration).items()]
