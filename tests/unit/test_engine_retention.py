"""How long Prefect's server keeps the runs that have ended."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.settings.models.root import Settings

from retirement.flows.kit.server import PrefectServer, in_use, retention


def vacuum(monkeypatch: pytest.MonkeyPatch, days: int | None) -> tuple[set[str], timedelta]:
    """What a server with these variables deletes by itself, and after which time."""
    for name, value in retention(days).items():
        monkeypatch.setenv(name, value)
    found = Settings().server.services.db_vacuum
    return found.enabled_vacuum_types, found.retention_period


def test_prefect_reads_the_variables_as_so_many_days_for_runs_and_what_they_leave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Prefect has no error for a variable that it does not know: a new name of the setting would be silent."""
    assert vacuum(monkeypatch, 30) == ({"events", "flow_runs", "orphans"}, timedelta(days=30))


def test_without_a_number_of_days_no_run_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's own default: events go after a week, runs never."""
    assert vacuum(monkeypatch, None)[0] == {"events"}


def test_a_server_of_an_earlier_release_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file says nothing of days; the process that it names is gone, and so no credential is asked for."""
    monkeypatch.setenv("RETIREMENT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "engine").mkdir()
    former = {"api_url": "http://127.0.0.1:4200/api", "database": "sqlite", "pid": 0, "born": 1.0}
    (tmp_path / "engine" / "engine.json").write_text(json.dumps(former), encoding="utf-8")

    with in_use() as found:
        assert found is None
    assert PrefectServer(**former).keep_days is None  # type: ignore[arg-type]  # as `json.loads` gives it
