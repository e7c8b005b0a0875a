"""What our Prefect server is told by variables, as the Prefect that is installed reads it."""

import pytest
from prefect.settings import Settings

from retirement.flows.kit.environment import SERVER_SETTINGS


def test_prefect_has_each_setting_of_our_server_and_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that it does not know would change nothing, and nobody would be told."""
    for name, value in SERVER_SETTINGS.items():
        monkeypatch.setenv(name, value)

    read = Settings().to_environment_variables(exclude_unset=True)

    same = {name: read.get(name, "").lower().removesuffix(".0") for name in SERVER_SETTINGS}
    assert same == SERVER_SETTINGS
