"""What `retirement status` and the door say of schedules. Imports nothing of Prefect."""

from datetime import UTC, datetime
from typing import Any

from retirement.errors import ConfigError, EngineLost
from retirement.flows.kit.server import in_use
from retirement.flows.kit.watchdog import seen


async def planned() -> list[dict[str, Any]]:
    """Last and next run of each schedule; none where no Prefect server is up, or none that takes us."""
    try:
        with in_use() as engine:
            return [each.row for each in await seen(engine.api_url, datetime.now(UTC))] if engine else []
    except (EngineLost, ConfigError):
        return []
