"""What partners get: one CSV file per partner, with those of its organisations' learners who were retired.

The columns are those of the archived script (contract, section 6.2) and the organisation, and so is
`deletion_completed`: the time at which the learner was put into the queue. The files are the one place that is meant
to hold personal data; they are named by platform, partner, day and claim, and the same rows give the same file.
Names are what learners typed, and partners open the files in a spreadsheet: a cell that would be a formula is a text.
"""

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType

from retirement.partners.claimed import Origin, Reported, per_org
from retirement.partners.mapping import Partners

COLUMNS = ("user_id", "original_username", "original_email", "original_name", "deletion_completed", "organisation")
#: Every column that a report may have: the reference's organisations choose among these, and ours stands last.
KNOWN = (*COLUMNS[:-1], "student_id", "created", COLUMNS[-1])
#: What a spreadsheet takes for the beginning of a formula, or skips before one (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
#: No learner has other columns than the file.
_ALL: Mapping[int, Collection[str]] = MappingProxyType({})
#: Bytes of the longest part of a file's name; a file system takes 255 for the whole.
_LONGEST_PART = 100


@dataclass(frozen=True)
class Report:
    """One file for one partner. `slug` is the partner as part of a name."""

    partner: str
    slug: str
    name: str
    learners: Mapping[str, int]  #: by organisation
    user_ids: tuple[int, ...]
    content: bytes = field(repr=False)

    @property
    def folder(self) -> str:
        """The partner's folder in a sink, whichever claim it is; no two partners of any claims have the same."""
        return self.slug if self.slug == unicodedata.normalize("NFKC", self.partner) else _with_digest(self.partner)

    @property
    def orgs(self) -> tuple[str, ...]:
        """The organisations that are named in it."""
        return tuple(self.learners)

    @cached_property
    def sha256(self) -> str:
        """The digest of the content, in hex."""
        return digest(self.content)


def digest(content: bytes) -> str:
    """The SHA-256 of a file, in hex."""
    return sha256(content).hexdigest()


class Naming:
    """The names of the files of one claim, which depend on nothing but the claim and the partners of its rows."""

    def __init__(self, platform: str, origin: Origin, partners: Partners) -> None:
        self._platform, self._origin = slug_of(platform), origin
        every = sorted({partner for org in origin.orgs for partner in partners.of(org)})
        alike = Counter(slug_of(each).casefold() for each in every)
        self._slugs = {each: _told_apart(each, alike) for each in every}

    def report(
        self,
        partner: str,
        part: int,
        rows: Sequence[Reported],
        orgs: Iterable[str],
        columns: Sequence[str] = COLUMNS,
        wanted: Mapping[int, Collection[str]] = _ALL,
    ) -> Report:
        """The file for these rows, of which the partner has `part` files before; only `orgs` are named in it.

        `wanted` are the columns of single learners by user id, who have nothing in the others.
        """
        slug = self._slugs[partner]
        theirs = set(orgs)
        number = f"{self._origin.claim}-{part + 1}" if part else str(self._origin.claim)
        return Report(
            partner,
            slug,
            f"{self._platform}_{slug}_{self._origin.day}_claim-{number}.csv",
            {org: count for org, count in per_org(rows).items() if org in theirs},
            tuple(sorted(row.user_id for row in rows)),
            _csv(rows, theirs, columns, wanted),
        )

    @property
    def index(self) -> str:
        """The name of the file that says which file is whose."""
        return f"{self._platform}_{self._origin.day}_claim-{self._origin.claim}.index.json"


def index_of(entries: Sequence[Mapping[str, object]]) -> bytes:
    """The content of an index: for each file its partner, organisations and number of learners."""
    text = json.dumps({"organisations": list(entries)}, ensure_ascii=False, indent=2)
    return f"{text}\n".encode("utf-8", "replace")


def slug_of(name: str) -> str:
    """A name as a part of a file's name: letters, marks and digits of any script, points and dashes."""
    plain = unicodedata.normalize("NFKC", name)
    kept = "".join(each if each in ".-" or unicodedata.category(each)[0] in "LMN" else "-" for each in plain)
    short = re.sub("-+", "-", kept).strip("-.").encode()[:_LONGEST_PART]
    return short.decode("utf-8", "ignore").strip("-.")


def _told_apart(name: str, alike: Mapping[str, int]) -> str:
    """The slug of a name; where names look alike, a digest tells them apart."""
    slug = slug_of(name)
    if slug and alike[slug.casefold()] == 1:
        return slug
    return _with_digest(name)


def _with_digest(name: str) -> str:
    return f"{slug_of(name)}-{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}".lstrip("-")


def _csv(
    rows: Sequence[Reported], orgs: set[str], columns: Sequence[str], wanted: Mapping[int, Collection[str]]
) -> bytes:
    text = io.StringIO()
    lines = csv.writer(text)
    own = [each for each in columns if each != COLUMNS[-1]]
    lines.writerow([*own, COLUMNS[-1]])
    for row in sorted(rows, key=lambda row: row.user_id):
        named = "; ".join(org for org in row.organisations if org in orgs)
        theirs = wanted.get(row.user_id, own)
        lines.writerow([*(_cell(row.cell(each)) if each in theirs else "" for each in own), _cell(named)])
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    """A text that a spreadsheet would calculate begins with an apostrophe; a full-width sign is the same to it."""
    is_formula = isinstance(value, str) and unicodedata.normalize("NFKC", value[:1]) in _FORMULA
    return f"'{value}" if is_formula else value
