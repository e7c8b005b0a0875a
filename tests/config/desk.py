"""Writes configuration files into a folder and reads them back, for the tests of this package."""

from collections.abc import Callable, Mapping
from pathlib import Path

from retirement.config import Configuration, load
from retirement.connectors import Connector
from retirement.errors import ConfigError

SECRET = "hunter2-the-secret"
ENVIRON = {"RETIREMENT_CLIENT_SECRET": SECRET}

LMS = """\
lms:
  url: https://courses.example.com
  client_id: retirement-worker
  client_secret: ${RETIREMENT_CLIENT_SECRET}
"""
ENROLLMENTS = "{start: RETIRING_ENROLLMENTS, end: ENROLLMENTS_COMPLETE, service: LMS, operation: retirement_unenroll}"
FORUMS = "{start: RETIRING_FORUMS, end: FORUMS_COMPLETE, service: LMS, operation: retirement_retire_forum}"
MISC = "{start: RETIRING_LMS_MISC, end: LMS_MISC_COMPLETE, service: LMS, operation: retirement_lms_retire_misc}"
ACCOUNT = "{start: RETIRING_LMS, end: LMS_COMPLETE, service: LMS, operation: retirement_lms_retire}"
CREDENTIALS = "{start: RETIRING_CRED, end: CRED_COMPLETE, service: CREDENTIALS, operation: replace_usernames}"

TUBULAR = """\
client_id: retirement-worker
client_secret: ${RETIREMENT_CLIENT_SECRET}
base_urls:
    lms: https://courses.example.com/
    credentials: https://credentials.example.com/
retirement_pipeline:
    - ['RETIRING_ENROLLMENTS', 'ENROLLMENTS_COMPLETE', 'LMS', 'retirement_unenroll']
    - ['RETIRING_LMS', 'LMS_COMPLETE', 'LMS', 'retirement_lms_retire']
"""
#: Told of every file like this one: its jobs give these on the command line.
UNSAID = (
    "retirement.yaml:1: cool_off_days, max_user_batch_size, user_count_error_threshold: not in this file, as it may "
    "have stood on a command line; the most careful that is known is taken: 30, 200, 251; 30 days are the longest, "
    "Tutor's, where edx.org has 14, the scripts 7 and the Ansible role 5. Write your own here, or give "
    "`retirement config import` --cool-off-days, --batch-size, --threshold"
)
ANSIBLE = """\
COMMON_RETIREMENT_SERVICE_SETUP: true
RETIREMENT_SERVICE_EDX_OAUTH2_KEY: retirement-worker
RETIREMENT_SERVICE_EDX_OAUTH2_SECRET: ${RETIREMENT_CLIENT_SECRET}
RETIREMENT_LMS_BASE_URL: https://courses.example.com
"""


def pipeline(*steps: str) -> str:
    return "".join(["pipeline:\n", *(f"  - {step}\n" for step in steps)])


OWN = LMS + pipeline(ENROLLMENTS, MISC, ACCOUNT)


def line_of(text: str, part: str) -> int:
    """The line on which this part of a text begins."""
    return text[: text.index(part)].count("\n") + 1


class Desk:
    """One folder with one file in it, and the connectors that are installed, unless a test brings others."""

    connectors: Mapping[str, type[Connector]] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "retirement.yaml"

    def write(self, content: str | bytes, mode: int = 0o600) -> Path:
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.path.chmod(mode)
        return self.path

    def load(
        self, content: str | bytes, *, mode: int = 0o600, block: Callable[[str], str] | None = None, **environ: str
    ) -> Configuration:
        """What the content means; extra names are environment variables."""
        path = self.write(content, mode)
        return load(path, environ=ENVIRON | environ, secret_block=block, connectors=self.connectors)

    def problems(
        self, content: str | bytes, *, mode: int = 0o600, block: Callable[[str], str] | None = None, **environ: str
    ) -> list[str]:
        """What is wrong with the content, without the folder; nothing where it loads."""
        try:
            self.load(content, mode=mode, block=block, **environ)
        except ConfigError as error:
            return [self.short(line) for line in error.args]
        return []

    def warnings(self, content: str, mode: int = 0o600, **environ: str) -> list[str]:
        return [self.short(line) for line in self.load(content, mode=mode, **environ).warnings]

    def short(self, line: str) -> str:
        return line.removeprefix(f"{self.folder}/")
