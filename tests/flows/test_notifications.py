"""Operators are told: each kind of notification arrives from a real Prefect server, by mail and by HTTP."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.fields import SecretDict
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from pydantic import SecretStr

from retirement.config import TROUBLES, ChannelSettings, Occasion
from retirement.flows.kit import troubles
from retirement.flows.kit.automations import Applied, apply
from retirement.flows.kit.channels import OURS
from retirement.flows.kit.troubles import Trouble
from retirement.flows.kit.watchdog import Seen, Watchdog
from retirement.ledger import opened
from retirement.ledger.receipts import Given
from tests import locks, patient
from tests.flows.conftest import Command, Flow, Platform, Start, sandbox
from tests.flows.post import SECRET, Box, hook, mail
from tests.flows.runs import Runs
from tests.ledger.desk import Clock, begin
from tests.patient import until
from tests.ports import free_port

pytestmark = pytest.mark.dear(seconds=60)

UI = "https://prefect.example.com"
NOW = datetime.now(UTC)


@pytest.fixture
def api(engine: str) -> Iterator[str]:
    """The server of the session, for Prefect's client in this process too; left without automations of ours."""
    with locks.client(engine):
        yield engine
        asyncio.run(apply())
    for each in automations(engine):
        patient.delete(f"{engine}/automations/{each['id']}").raise_for_status()


def automations(api: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = patient.post(f"{api}/automations/filter", json={}).json()
    return [each for each in found if each["name"].startswith("openedx-retirement: ")]


def blocks(api: str) -> list[str]:
    found = patient.post(f"{api}/block_documents/filter", json={}).json()
    return [each["name"] for each in found if (each["name"] or "").startswith(OURS)]


def person(name: str) -> dict[str, Any]:
    """A learner whose request is overdue."""
    return {"username": name, "email": f"{name}@canary.example", "state": "PENDING", "requested_days_ago": 40}


SEED = {"learners": [person("canary-ana"), person("canary-bo")]}


async def promise(platform: Platform) -> None:
    """A service has promised something in March, and has not confirmed it."""
    async with opened(platform.ledger, clock=Clock()) as ledger:
        lease = await begin(ledger, 9001)
        await lease.intend("RETIRING_FORUMS", "LMS", "retirement_retire_forum")
        await lease.prove("RETIRING_FORUMS", "accepted", Given("job-1", timedelta(days=1)))
        await lease.end("parked", "", "FORUMS_COMPLETE")


def fall_silent(api: str, channels: list[ChannelSettings]) -> None:
    """A watchdog sees for two minutes that a schedule plans no run."""
    clock, said = [NOW], list[str]()

    async def look(_now: datetime) -> list[Seen]:
        return [Seen("retire-queue/queue-here", True, "0 4 * * * UTC", None, None, None, None)]

    async def notify(silent: Any, now: datetime) -> None:
        await troubles.tell(api, troubles.of_schedules(silent, now, channels))

    async def two_minutes(dog: Watchdog) -> None:
        for _ in range(3):
            await dog.turn()
            clock[0] += timedelta(minutes=1)

    dog = Watchdog(look, said.append, Path("/nonexistent/healthy"), clock=lambda: clock[0], notify=notify)
    asyncio.run(two_minutes(dog))
    assert said == ["SCHEDULES DO NOT RUN: retire-queue/queue-here: no next run is planned"]


def crash(api: str) -> str:
    """A queue run that is found to be dead, as the reconciler or the automation for silence does it."""
    flow_id = patient.post(f"{api}/flows/", json={"name": "retire-queue"}).json()["id"]
    body = {"flow_id": flow_id, "state": {"type": "RUNNING", "name": "Running"}}
    run = str(patient.post(f"{api}/flow_runs/", json=body).raise_for_status().json()["id"])
    state = {"state": {"type": "CRASHED", "name": "Crashed", "message": "canary-ana"}, "force": True}
    patient.post(f"{api}/flow_runs/{run}/set_state", json=state).raise_for_status()
    return run


SUBJECTS = {
    Occasion.FAILED: "Retirement: retire-queue failed: SomeFailed",
    Occasion.CRASHED: "Retirement: retire-queue: Crashed",
    Occasion.PAUSED: "Retirement: retire-queue asks: Paused",
    Occasion.DEADLINE: "Retirement: deadlines at risk",
    Occasion.BREAKER: "Retirement: a service is not called",
    Occasion.RECEIPT: "Retirement: erasures are not confirmed",
    Occasion.SCHEDULE: "Retirement: scheduled runs do not come",
}


def test_each_kind_of_notification_arrives(
    tmp_path: Path, api: str, home: Path, retirement: Command, start: Start, runs: Runs, flow: Flow
) -> None:
    """By mail and by HTTP, with links to the runs, and without a name or the secret of a channel."""
    with mail() as letters, hook() as posted, sandbox(tmp_path, seed=SEED) as platform:
        thresholds = {"breaker_hours": 0, "schedule_minutes": 1}
        given = [{"name": name, "url": box.url, **thresholds} for name, box in (("mail", letters), ("hook", posted))]
        retry = {"attempts": 1, "task_retries": 0}
        platform.configure(notifications=given, ui_url=UI, retry=retry, breaker={"learners": 1000})
        asyncio.run(promise(platform))
        applied = retirement("automations", "apply", "--json", "--config", platform.config)
        assert (applied.code, len(applied.document["made"])) == (0, 2 * len(TROUBLES) + 2), applied.err

        platform.arm({"path": "retire_forum", "method": "POST", "status": 400, "times": 1000})
        assert retirement("retire-queue", "--limit", "1", "--config", platform.config).code == 1
        failed = runs.every()[0]["id"]
        platform.configure(queue={"threshold": 1}, guard={"staff_domains": ["canary.example"]})
        asks = start("retire-queue", "--config", platform.config)
        paused = runs.asking()
        who = ("--by", "ops", "--reason", "canary-bo asked")
        assert retirement("breaker", "open", "CREDENTIALS", *who, "--config", platform.config).code == 0
        assert flow("digest", config=str(platform.config)).state == "Written"
        crashed = crash(api)
        fall_silent(api, [ChannelSettings.model_validate(each) for each in given])

        for box in (letters, posted):
            until(lambda box=box: set(box.subjects()) >= set(SUBJECTS.values()))
            for run, occasion in ((failed, "FAILED"), (paused, "PAUSED"), (crashed, "CRASHED")):
                (text,) = box.about(f"{UI}/runs/flow-run/{run}")
                assert SUBJECTS[Occasion[occasion]] in box.subjects()
                assert text
            assert "CREDENTIALS is not called since" in box.about("a service is not called")[0]
            assert "9001" in box.about("deadlines at risk")[0]
            assert "no next run is planned" in box.about("scheduled runs do not come")[0]
            everything = str(box.messages)
            assert not [word for word in ("canary-ana", "canary-bo", "canary.example", SECRET) if word in everything]
        retirement("reject", paused, "--approver", "dpo", "--reason", "no", "--config", platform.config)
        asks.ended()
    assert SECRET not in applied.out + applied.err
    assert SECRET not in (home / "logs" / "engine.log").read_text(errors="replace")


def trouble(subject: str) -> Trouble:
    return Trouble(Occasion.BREAKER, subject, 4, f"words about {subject}")


def channel(box: Box, name: str = "hook") -> ChannelSettings:
    return ChannelSettings.model_validate({"name": name, "url": box.url})


def put(*channels: ChannelSettings) -> Applied:
    return asyncio.run(apply(channels, source="retirement.yaml", ui_url=UI))


def test_what_is_there_stays_and_the_same_trouble_is_told_once(api: str) -> None:
    """Also after a restart of `serve`; an automation that is switched off stays off, a channel that is gone goes."""
    with hook() as box:
        first, second = put(channel(box)), put(channel(box))
        assert (len(first.made), [each.name for each in first.new_channels]) == (len(TROUBLES) + 2, ["hook"])
        assert (second.made, second.updated, second.removed, second.new_channels) == ([], [], [], [])
        for subject in ("breaker.A.1", "breaker.A.1", "breaker.A.2"):
            asyncio.run(troubles.tell(api, [trouble(subject)]))
        until(lambda: box.about("breaker.A.2"))
        put(channel(box))
        for subject in ("breaker.A.1", "breaker.A.3"):
            asyncio.run(troubles.tell(api, [trouble(subject)]))
        until(lambda: box.about("breaker.A.3"))
        assert [len(box.about(f"breaker.A.{number}")) for number in (1, 2, 3)] == [1, 1, 1]

        (off,) = [each for each in automations(api) if each["name"].endswith("hook: failed")]
        patient.patch(f"{api}/automations/{off['id']}", json={"enabled": False}).raise_for_status()
        assert put(channel(box)).off == [off["name"]]
        other = put(channel(box).model_copy(update={"repeat_hours": 3.0}))
        assert len(other.updated) == len(TROUBLES)
        assert [each["enabled"] for each in automations(api) if each["id"] == off["id"]] == [False]

        moved = put(channel(box, "other"))
        assert (len(moved.removed), blocks(api)) == (len(TROUBLES), [f"{OURS}other"])
        put()
        assert (len(automations(api)), blocks(api)) == (2, [])


async def make_webhook(box: Box) -> None:
    """What an operator makes on the page *Blocks*."""
    url = box.url.replace(f"json://oncall:{SECRET}@", "http://") + "/{{token}}"
    message = {"title": "{{subject}}", "message": "{{body}}"}
    secrets = SecretDict({"token": SecretStr(SECRET)})
    block = CustomWebhookNotificationBlock(name="oncall", url=url, json_data=message, secrets=secrets)
    await block.asave("retirement-oncall", overwrite=True)


def test_a_block_that_an_operator_has_made_is_a_channel(tmp_path: Path, api: str, retirement: Command) -> None:
    """By its name: it takes the test message and what the server sends, and stays when the channel is gone."""
    with hook() as box, sandbox(tmp_path, "--learners", "1") as platform:
        asyncio.run(make_webhook(box))
        platform.configure(notifications=[{"name": "oncall", "block": "custom-webhook/retirement-oncall"}])
        applied = retirement("automations", "apply", "--json", "--config", platform.config)
        tested = retirement("notifications", "test", "--config", platform.config)
        asyncio.run(troubles.tell(api, [trouble("breaker.A.1")]))
        until(lambda: box.about("breaker.A.1"))
        crash(api)
        until(lambda: box.about("has crashed"))
        platform.configure(notifications=[])
        gone = retirement("automations", "apply", "--json", "--config", platform.config)
        found = patient.post(f"{api}/block_documents/filter", json={}).json()

    assert (applied.code, len(applied.document["made"])) == (0, len(TROUBLES) + 2), applied.err
    assert (tested.code, tested.out) == (0, "notifications: oncall: the test message was taken\n"), tested.err
    assert set(box.subjects()) == {
        "Retirement: a test message",
        "Retirement: a service is not called",
        "Retirement: retire-queue: Crashed",
    }
    assert len(gone.document["removed"]) == len(TROUBLES)
    assert "retirement-oncall" in [each["name"] for each in found]
    assert SECRET not in f"{applied}{tested}{gone}{found}"


def test_a_test_message_says_which_channel_took_it(tmp_path: Path, api: str, retirement: Command) -> None:
    """A mail server does, one that is not there and one that refuses do not; no word has a secret."""
    with mail() as letters, hook(status=403) as refuses, sandbox(tmp_path, "--learners", "1") as platform:
        urls = {"mail": letters.url, "gone": f"json://oncall:{SECRET}@127.0.0.1:{free_port()}/", "refuses": refuses.url}
        platform.configure(notifications=[{"name": name, "url": url} for name, url in urls.items()])
        said = retirement("notifications", "test", "--config", platform.config)
        document = retirement("notifications", "test", "--json", "--config", platform.config)
        platform.configure(notifications=[{"name": "mail", "url": letters.url}])
        well = retirement("notifications", "test", "--config", platform.config)

        assert (said.code, document.code, well.code) == (1, 1, 0)
        assert [each["arrived"] for each in document.document["channels"]] == [True, False, False]
        assert "notifications: mail: the test message was taken" in said.out
        assert "notifications: gone: it was not taken; check the address" in said.out
        assert "notifications: refuses: it was not taken: the answer was 403" in said.out
        assert letters.subjects() == ["Retirement: a test message"] * 3
        assert SECRET not in f"{said}{document}{well}"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"url": "nonsense://hunter2"}, "url of oncall: is no URL that Apprise knows"),
        ({"block": "slack-webhook/nowhere"}, "block of oncall: the Prefect server has no slack-webhook/nowhere"),
        (None, "there are no channels; add one"),
    ],
)
def test_a_channel_that_is_none_is_one_line_and_exit_code_2(
    tmp_path: Path, api: str, retirement: Command, given: dict[str, str] | None, line: str
) -> None:
    """Before anything is sent or put on the server."""
    with sandbox(tmp_path, "--learners", "1") as platform:
        platform.configure(notifications=[{"name": "oncall", **given}] if given else [])
        said = retirement("notifications", "test", "--config", platform.config)

        assert (said.code, len(said.err.splitlines())) == (2, 1), said.err
        assert said.err.startswith(f"{platform.config}: notifications: {line}")
        if given:
            assert retirement("automations", "apply", "--config", platform.config).code == 2
        assert blocks(api) == []
        assert "hunter2" not in said.err


def test_a_message_that_is_not_taken_shows_in_the_log_of_the_server_without_the_url(api: str, home: Path) -> None:
    """The channel answers 403; what Apprise says of it stays on the server."""
    log = home / "logs" / "engine.log"
    with hook(status=403) as box:
        put(channel(box))
        before = log.stat().st_size
        asyncio.run(troubles.tell(api, [trouble("breaker.A.1")]))
        until(lambda: b"Notification failed" in log.read_bytes()[before:])

    assert box.subjects() == ["Retirement: a service is not called"]
    assert SECRET not in log.read_text(errors="replace")
