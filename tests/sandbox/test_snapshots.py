"""Snapshots: a platform as it was, without planting it again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from sqlalchemy import select

from retirement.sandbox import Sandbox
from retirement.sandbox.vendors import VENDORS
from retirement.sandbox.world.schema import metadata

LEARNER: dict[str, Any] = {"username": "zoe-canary", "state": "PENDING", "vendors": "all", "notes": 2}
SEED: dict[str, Any] = {"learners": [LEARNER], "settings": {"forum": "v2", "worker_is_staff": True}}


def rows_of(sandbox: Sandbox) -> dict[str, list[Any]]:
    """Every row of every table."""
    with sandbox._platform.world.database.transaction() as db:
        return {table.name: [tuple(row) for row in db.execute(select(table))] for table in metadata.sorted_tables}


def test_a_restored_platform_is_the_one_that_was_seeded() -> None:
    """Rows, settings and learners come back; faults, requests and time that passed are gone."""
    sandbox = Sandbox()
    made = sandbox.reset(SEED)
    snapshot, before = sandbox.snapshot(), rows_of(sandbox)
    sandbox.reset({"learners": [{"username": "another-learner"}]})
    sandbox.arm([{"status": 503}])
    sandbox.advance(86_400)

    assert sandbox.restore(snapshot)["learners"] == made["learners"]

    world = sandbox._platform.world
    assert rows_of(sandbox) == before
    assert (world.settings.forum, world.authenticator.worker_is_staff) == ("v2", True)
    assert (sandbox.requests, world.faults._armed, world._ahead.total_seconds()) == ([], [], 0)


def test_what_is_in_a_database_of_its_own_comes_back_too() -> None:
    """The plug-in's file has the learner's row again, so that a deletion has something to delete."""
    sandbox = Sandbox(SEED)
    snapshot = sandbox.snapshot()
    file = VENDORS["plugin_table"].settings("", {})["database"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as plugin, plugin:
        plugin.execute("DELETE FROM badge")
    assert sandbox.residue("zoe-canary", "plugin_table") == []

    sandbox.restore(snapshot)

    assert {place["what"] for place in sandbox.residue("zoe-canary", "plugin_table")} == {"username", "email", "name"}


def test_two_platforms_share_no_row() -> None:
    """The empty tables of a process are made once; what one platform writes, no other one sees."""
    first, second = Sandbox(SEED), Sandbox()

    assert (len(first.state()["learners"]), second.state()["learners"]) == (1, {})
    first.reset({})
    counts = [{name: len(rows) for name, rows in rows_of(each).items()} for each in (first, second)]
    assert counts[0] == counts[1]
