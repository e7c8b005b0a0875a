"""The certificate of one learner: what was erased where, when and on what proof, and what was kept on which basis.

`certificate_of` reads it out of the ledger's chain and nothing else, so it holds no name: a learner is the user id
of the LMS. `issue` signs it, `check` compares one with a ledger later, without the LMS and without the key of the
digests, and `check_seal` needs the public key of the installation and no ledger.
"""

from retirement.certificate.checking import Comparison, check, compare
from retirement.certificate.sealing import check_seal, issue
from retirement.certificate.sections import html, markdown, pdf
from retirement.certificate.statements import (
    Certificate,
    as_format_1,
    as_json,
    certificate_of,
    fingerprint,
    only_promised,
)

__all__ = [
    "Certificate",
    "Comparison",
    "as_format_1",
    "as_json",
    "certificate_of",
    "check",
    "check_seal",
    "compare",
    "fingerprint",
    "html",
    "issue",
    "markdown",
    "only_promised",
    "pdf",
]
