"""Which partners an organisation has: by the configuration, and each by its own name where that says nothing.

Names are compared as NFKC, on both sides: the LMS and the file may be typed by different hands.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass


def comparable(name: str) -> str:
    """A name of an organisation or partner as it is compared."""
    return unicodedata.normalize("NFKC", name).strip()


@dataclass(frozen=True, slots=True)
class Partners:
    """Partners by organisation; `organisations` None: each organisation is a partner of its own name."""

    organisations: Mapping[str, tuple[str, ...]] | None = None
    default: str | None = None

    def of(self, organisation: str) -> tuple[str, ...]:
        """The partners of one organisation, none where the configuration has none for it."""
        if self.organisations is None:
            return (organisation,)
        known = {comparable(name): partners for name, partners in self.organisations.items()}
        found = known.get(comparable(organisation)) or ((self.default,) if self.default else ())
        return tuple(dict.fromkeys(comparable(each) for each in found))
