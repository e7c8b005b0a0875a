"""Where the CPU time and the memory of a queue run go: our process, Prefect's server, PostgreSQL."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

#: The module that our Prefect server is started as.
SERVER = "retirement.flows.kit.locked_server"
#: A part that shares memory among its processes, which grows until its cache is full (128 MB, unless told
#: otherwise): what a process has of its own, and what they share as far as one of them has used it.
POSTGRESQL, SHARED = "PostgreSQL", "shared by PostgreSQL"
#: Seconds between two looks; a process that ends loses what it used since the last one.
EVERY = 0.2


class Parts:
    """CPU seconds, user and system, and memory of one queue run's processes. `home` is its RETIREMENT_HOME."""

    def __init__(self, command: int, home: Path) -> None:
        self._command = psutil.Process(command)
        self._database = home / "engine" / "postgres"
        self._used: dict[tuple[str, int], float] = {}
        self._largest: dict[str, int] = defaultdict(int)
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Looks until the block ends."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def seconds(self) -> dict[str, float]:
        """CPU seconds by part."""
        found: dict[str, float] = defaultdict(float)
        for (part, _), used in self._used.items():
            found[part] += used
        return dict(found)

    def memory(self) -> dict[str, int]:
        """Most bytes in memory at one moment of a process, by part; what PostgreSQL's processes share is one more."""
        return dict(self._largest)

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            with suppress(psutil.Error):
                self._note("flow", self._command)
                for child in self._command.children():
                    self._note("server" if SERVER in child.cmdline() else "start", child)
            # Its own folder is what tells this database from others of the machine; for root it is a link.
            names = {str(self._database), str(self._database.resolve())}
            for process in psutil.process_iter(["cmdline"]):
                if names.intersection(process.info["cmdline"] or ()):
                    with suppress(psutil.Error):
                        for each in (process, *process.children(recursive=True)):
                            self._note(POSTGRESQL, each)

    def _note(self, part: str, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            times = process.cpu_times()
            self._used[part, process.pid] = times.user + times.system
            memory = process.memory_info()
            shared = getattr(memory, "shared", 0) if part == POSTGRESQL else 0
            self._largest[part] = max(self._largest[part], memory.rss - shared)
            if shared:
                self._largest[SHARED] = max(self._largest[SHARED], shared)
