"""Requests as a flow: accounts, by their user ids, are put into the queue after a preview and a form."""

from typing import Any

from prefect import State

from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.jobs import JobRun
from retirement.flows.kit.parameters import AtMost, Preview, UserIds
from retirement.followup.request import Entry, looked_up


@door("request")
async def request(user_ids: UserIds = (), at_most: AtMost = 50, dry_run: Preview = True) -> State[Any]:
    """Has the LMS make a request to retire for each of these accounts; a queue run takes them after the cool-off.

    While `dry_run` is on, the table shows them and nothing is asked of the LMS. Else the run asks in a form for who
    asks for it and why. Names of accounts are no parameters: `retirement request --csv` takes a file of them.
    """
    entries = [Entry(None, user_id) for user_id in dict.fromkeys(user_ids)]
    run = JobRun("retirement-request", "Requested", "user_ids names no account", at_most, dry_run)
    return await ending(
        lambda: run.play(lambda configuration, site: looked_up(site, configuration.guard, entries)), run.account
    )
