"""The certificate of one learner: what was erased where, when and on what proof, and what was kept on which basis.

`certificate_of` reads it out of the ledger's chain and nothing else, so it holds no name: a learner is the user id
of the LMS. `check` compares a certificate with a ledger later, without the LMS and without the key.
"""

from retirement.certificate.checking import check
from retirement.certificate.markup import html, markdown
from retirement.certificate.paper import pdf
from retirement.certificate.statements import Certificate, as_json, certificate_of, fingerprint, only_promised

__all__ = [
    "Certificate",
    "as_json",
    "certificate_of",
    "check",
    "fingerprint",
    "html",
    "markdown",
    "only_promised",
    "pdf",
]
