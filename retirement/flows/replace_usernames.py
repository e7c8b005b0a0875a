"""The replacement of usernames as a flow: the pairs of a file in the folder that the configuration names."""

from pathlib import Path
from typing import Any

from prefect import State

from retirement.config import Configuration
from retirement.errors import ConfigError
from retirement.flows.kit.door import door
from retirement.flows.kit.ending import ending
from retirement.flows.kit.jobs import JobRun
from retirement.flows.kit.parameters import AtMost, PairsFile, Preview
from retirement.followup.name_list import read_names
from retirement.followup.name_pairs import COLUMNS, pairs_of, require_private
from retirement.followup.replace_usernames import Replacement, looked_up
from retirement.site import Site


@door("replace-usernames")
async def replace_usernames(
    file: PairsFile = "usernames.csv", at_most: AtMost = 50, dry_run: Preview = True
) -> State[Any]:
    """Gives accounts new usernames in the LMS, then in each service and the forum.

    The file with the pairs, and the file of results, are in the folder `username_replacements` of the configuration.
    While `dry_run` is on, the table shows the accounts by user id and nothing is renamed. Else the run asks in a form
    for who asks for it and why.
    """
    run = JobRun("retirement-usernames", "Renamed", "the file has no pair", at_most, dry_run)
    return await ending(lambda: run.play(lambda configuration, site: _of_file(configuration, site, file)), run.account)


async def _of_file(configuration: Configuration, site: Site, file: str) -> Replacement:
    if configuration.username_replacements is None:
        raise ConfigError("username_replacements: the configuration names no folder for the files; set it")
    folder = require_private(Path(configuration.username_replacements), "username_replacements")
    return await looked_up(site, pairs_of(file, read_names(folder / file, COLUMNS, COLUMNS)), folder)
