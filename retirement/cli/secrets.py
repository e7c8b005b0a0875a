"""Secret blocks for commands that have not started a Prefect server."""

from retirement.errors import ConfigError
from retirement.flows.kit.environment import operators_server


def secret_block(name: str) -> str:
    """The value of a Secret block of the operator's own server. Raises `ConfigError` without one."""
    if operators_server() is None:
        raise ConfigError(f"block:{name}: set PREFECT_API_URL to the Prefect server that keeps this Secret block")
    # Prefect reads its settings at import, and only here is it known that they are complete.
    from retirement.flows.kit.secret_blocks import secret_block as load

    return load(name)
