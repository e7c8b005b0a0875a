"""Secrets that a site keeps in Prefect's Secret blocks: `block:NAME` in a configuration."""

from typing import Any

from prefect.blocks.system import Secret

from retirement.errors import ConfigError


def secret_block(name: str) -> str:
    """The value of a Secret block. Raises `ConfigError` where there is none of that name."""
    # Typed for callers with and without an event loop alike, which its signature cannot say.
    load: Any = Secret.load
    try:
        return str(load(name, _sync=True).get())
    except ValueError:
        raise ConfigError(f"block:{name}: Prefect has no Secret block of this name") from None
