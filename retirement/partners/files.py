"""What partners get: one CSV file per organisation, with those of its learners who were retired.

The columns are those of the archived script (contract, section 6.2) and the organisation, and so is
`deletion_completed`: the time at which the learner was put into the queue. The files are the one place that is meant
to hold personal data; they are readable by their owner only, and named by platform, organisation, day and claim.
Names are what learners typed, and partners open the files in a spreadsheet: a cell that would be a formula is a text.
"""

import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr, ValidationError

from retirement.errors import ConfigError
from retirement.ledger.files import sync_folder

COLUMNS = ("user_id", "original_username", "original_email", "original_name", "deletion_completed", "organisation")
#: What a spreadsheet takes for the beginning of a formula, or skips before one (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
#: Bytes of the longest part of a file's name; a file system takes 255 for the whole.
_LONGEST_PART = 100


class _Wire(BaseModel):
    # hide_input_in_errors: a validation error would quote the learner otherwise.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _OrgConfig(_Wire):
    org: StrictStr


class Reported(_Wire):
    """One row of a claim, as the LMS hands it out (contract, section 4.10)."""

    user_id: StrictInt
    original_username: StrictStr
    original_email: StrictStr
    original_name: StrictStr
    created: StrictStr
    orgs: list[StrictStr] = []
    #: Only of older releases, and then instead of `orgs`; its extra headings never had values.
    orgs_config: list[_OrgConfig] | None = None

    def __repr__(self) -> str:
        return f"<Reported {self.user_id}>"

    @property
    def organisations(self) -> list[str]:
        """The organisations whose courses the learner had taken."""
        named = self.orgs if self.orgs_config is None else [each.org for each in self.orgs_config]
        return sorted({org for org in named if org.strip()})

    @property
    def cells(self) -> tuple[object, ...]:
        """The learner's line, in the order of `COLUMNS` but for the organisation."""
        return self.user_id, self.original_username, self.original_email, self.original_name, self.created


def read(rows: Sequence[object]) -> tuple[list[Reported], list[object]]:
    """The rows that can be read, and those that cannot."""
    readable: list[Reported] = []
    odd: list[object] = []
    for row in rows:
        try:
            readable.append(Reported.model_validate(row))
        except ValidationError:
            odd.append(row)
    return readable, odd


def user_ids_of(odd: Sequence[object]) -> list[int]:
    """The user ids in rows that cannot be read, as far as they have one."""
    named = [row.get("user_id") for row in odd if isinstance(row, dict)]
    return [user_id for user_id in named if type(user_id) is int]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where files go: a folder of the operator's, and the name of the platform for the files' names."""

    folder: Path
    platform: str

    def require(self) -> None:
        """Raises `ConfigError` unless a file can be written there; asked before anything is claimed."""
        if not self.folder.is_dir():
            raise ConfigError(f"--output: {self.folder} is no folder; make it, for its owner only")
        probe = self.folder / ".partner-report.partial"
        with _writing_to(self.folder):
            _write_private(probe, b"")
            probe.unlink()

    def write(self, claim_id: int, day: date, rows: Sequence[Reported]) -> dict[str, int]:
        """Writes the files of one claim; their names, and how many learners each has. Raises `ConfigError`.

        All are complete before the first gets its name. Writing a claim again gives the same files. The index beside
        them says which file is for which organisation.
        """
        drafts: list[tuple[Path, Path]] = []
        counts: dict[str, int] = {}
        contents: dict[str, bytes] = {}
        index: list[dict[str, object]] = []
        for org, name in self._names(claim_id, day, rows).items():
            theirs = [row for row in rows if org in row.organisations]
            counts[name] = len(theirs)
            contents[name] = _csv(org, theirs)
            index.append({"organisation": org, "file": name, "learners": len(theirs)})
        if index:
            contents[self._named(day, claim_id, "index.json")] = _json({"organisations": index})
        with _writing_to(self.folder):
            try:
                for name, content in contents.items():
                    draft = self.folder / f".{name}.partial"
                    drafts.append((draft, self.folder / name))
                    _write_private(draft, content)
                for draft, path in drafts:
                    draft.replace(path)
                sync_folder(self.folder)
            finally:
                # What is left of a disk that was full holds names as well.
                for draft, _ in drafts:
                    draft.unlink(missing_ok=True)
        return counts

    def _names(self, claim_id: int, day: date, rows: Sequence[Reported]) -> dict[str, str]:
        """The file of each organisation; where names look alike, a digest in the file's name tells them apart."""
        orgs = list(per_org(rows))
        alike = Counter(_slug(org).casefold() for org in orgs)
        names = {}
        for org in orgs:
            slug = _slug(org)
            if not slug or alike[slug.casefold()] > 1:
                slug = f"{slug}-{sha256(org.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}".lstrip("-")
            names[org] = self._named(slug, day, claim_id, "csv")
        return names

    def _named(self, *parts: str | date | int) -> str:
        """The name of a file: platform, what is given, and at the end claim and suffix."""
        *before, claim_id, suffix = parts
        return f"{'_'.join([_slug(self.platform), *map(str, before)])}_claim-{claim_id}.{suffix}"


@dataclass(frozen=True, slots=True, repr=False)
class SealedClaim:
    """What the ledger seals of a claim: the rows as they came, and where their files belong."""

    rows: list[Any]
    destination: Destination

    def packed(self) -> bytes:
        """As bytes to seal."""
        where = {"folder": str(self.destination.folder), "platform": self.destination.platform}
        return json.dumps({"rows": self.rows, **where}).encode()

    @classmethod
    def unpacked(cls, packed: bytes) -> "SealedClaim":
        """What `packed` gave."""
        found = json.loads(packed)
        return cls(found["rows"], Destination(Path(found["folder"]), found["platform"]))


def per_org(rows: Sequence[Reported]) -> dict[str, int]:
    """How many learners the report to each organisation has, by its name."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        for org in row.organisations:
            counts[org] += 1
    return dict(sorted(counts.items()))


def _csv(org: str, rows: Sequence[Reported]) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(COLUMNS)
    lines.writerows([*map(_cell, row.cells), _cell(org)] for row in sorted(rows, key=lambda row: row.user_id))
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    """A text that a spreadsheet would calculate begins with an apostrophe; a full-width sign is the same to it."""
    is_formula = isinstance(value, str) and unicodedata.normalize("NFKC", value[:1]) in _FORMULA
    return f"'{value}" if is_formula else value


def _json(document: object) -> bytes:
    return f"{json.dumps(document, ensure_ascii=False, indent=2)}\n".encode("utf-8", "replace")


def _slug(name: str) -> str:
    """A name as a part of a file's name: letters, marks and digits of any script, points and dashes."""
    plain = unicodedata.normalize("NFKC", name)
    kept = "".join(each if each in ".-" or unicodedata.category(each)[0] in "LMN" else "-" for each in plain)
    short = re.sub("-+", "-", kept).strip("-.").encode()[:_LONGEST_PART]
    return short.decode("utf-8", "ignore").strip("-.")


def _write_private(path: Path, content: bytes) -> None:
    """A new file for the owner only, on the disk when this returns."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Makes a `ConfigError` that names the option of what the file system refuses."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"--output: {folder} cannot be written: {error.strerror}") from None
