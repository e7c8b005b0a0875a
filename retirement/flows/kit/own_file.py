"""Whether a configuration is the service's own, and which content it has."""

import grp
import hashlib
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from retirement.errors import ConfigError


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex; "" where it cannot be read, which `load` says better."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def require_own(path: Path) -> None:
    """Raises `ConfigError` where an account other than ours and root can write a file, or put another in its place.

    A file that is not there is not judged here.
    """
    try:
        # The file as it is named, as it is, and the folders above both.
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):  # it is not there, or a circle of links: `load` says so
        return
    for each in dict.fromkeys([real, *real.parents, *path.parents]):
        if problem := _problem_of(each):
            what = "" if each == real else f"{each} "
            raise ConfigError(
                f"{path}: {what}{problem}; a run takes a configuration that only its account and root write"
            )


def _problem_of(path: Path) -> str:
    """Which other account can change a file or folder; "" for none."""
    found = path.stat()
    # What is mounted read-only has owners of another machine, as in a container.
    is_fixed = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    if found.st_uid not in (0, os.geteuid()) and not is_fixed:
        return f"belongs to {_name(found.st_uid)}: `chown` it"
    # In a folder with this bit, as /tmp, an entry belongs to the account that has made it.
    if stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX:
        return ""
    if found.st_mode & stat.S_IWOTH:
        return "can be written by every account: `chmod o-w` it"
    if found.st_mode & stat.S_IWGRP and (others := sorted(set(_members(found.st_gid)))):
        return f"can be written by {', '.join(others[:3])}, by their group: `chmod g-w` it"
    return ""


def _members(group: int) -> Iterator[str]:
    """The accounts of a group beside ours and root, as far as this machine lists them."""
    own = {_name(0), _name(os.geteuid())}
    with suppress(KeyError):  # a group without a name, as in a container
        yield from (each for each in grp.getgrgid(group).gr_mem if each not in own)
    yield from (each.pw_name for each in pwd.getpwall() if each.pw_gid == group and each.pw_name not in own)


def _name(account: int) -> str:
    try:
        return pwd.getpwuid(account).pw_name
    except KeyError:
        return f"account {account}"
