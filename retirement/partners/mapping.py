"""Which partners an organisation has: by the configuration, and each by its own name where that says nothing.

Names are compared as NFKC, on both sides: the LMS and the file may be typed by different hands.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field


def comparable(name: str) -> str:
    """A name of an organisation or partner as it is compared."""
    return unicodedata.normalize("NFKC", name).strip()


@dataclass(frozen=True, slots=True)
class Partners:
    """Partners by organisation; `organisations` None: each organisation is a partner of its own name.

    `headings` are the columns of organisations that want others than usual.
    """

    organisations: Mapping[str, tuple[str, ...]] | None = None
    default: str | None = None
    headings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def headings_of(self, organisation: str) -> tuple[str, ...]:
        """The columns that the configuration has for an organisation, none where it says nothing."""
        known = {comparable(name): columns for name, columns in self.headings.items()}
        return known.get(comparable(organisation), ())

    def of(self, organisation: str) -> tuple[str, ...]:
        """The partners of one organisation, none where the configuration has none for it."""
        if self.organisations is None:
            return (organisation,)
        known = {comparable(name): partners for name, partners in self.organisations.items()}
        found = known.get(comparable(organisation)) or ((self.default,) if self.default else ())
        return tuple(dict.fromkeys(comparable(each) for each in found))
