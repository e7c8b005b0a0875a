"""The replacement of usernames as a flow: the pairs of a file in the folder that the configuration names."""

from pathlib import Path
from typing import Any

from prefect import State

from retirement.config import Configuration
from retirement.errors import ConfigError
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.jobs import JobRun
from retirement.flows.kit.parameters import AtMost, Preview
from retirement.followup.name_list import read_names
from retirement.followup.name_pairs import COLUMNS, pairs_of, require_private
from retirement.followup.replace_usernames import Replacement, looked_up
from retirement.site import Site

#: The file with the pairs. No run names one: the person who may start a run says what it does, not what it reads.
FILE = "usernames.csv"


@door("replace-usernames")
async def replace_usernames(at_most: AtMost = 50, dry_run: Preview = True) -> State[Any]:
    """Gives accounts new usernames in the LMS, then in each service and the forum.

    The pairs are in `usernames.csv` in the folder `username_replacements` of the configuration, and so are the results.
    While `dry_run` is on, the table shows the accounts by user id and nothing is renamed. Else the run asks in a form
    for who asks for it and why.
    """
    run = JobRun("retirement-usernames", "Renamed", "the file has no pair", at_most, dry_run)
    return await ending(lambda: run.play(_of_file), run.account)


async def _of_file(configuration: Configuration, site: Site) -> Replacement:
    if configuration.username_replacements is None:
        raise ConfigError("username_replacements: the configuration names no folder for the files; set it")
    folder = require_private(Path(configuration.username_replacements), "username_replacements")
    return await looked_up(site, pairs_of(FILE, read_names(folder / FILE, COLUMNS, COLUMNS)), folder)
