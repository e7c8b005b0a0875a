"""What a person types and the ledger keeps for good, such as a reason: it must not hold an e-mail address."""

import re

#: A text that says something and has no address in it, in clear or as in a URL; read alike by Python and by the
#: browser that shows a form. No login, no article of a law and no reason needs an at sign.
PATTERN = r"^(?![\s\S]*(?:@|%40))[\s\S]*\S"

#: Ends the sentence that begins with what was refused.
REFUSAL = "no text with an e-mail address in it, or with nothing in it, is kept"


def keepable(text: str) -> bool:
    """Whether a text that somebody typed may be kept."""
    return re.search(PATTERN, text) is not None
