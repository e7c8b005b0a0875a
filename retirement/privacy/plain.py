"""What people and services have written, as text: without control characters for terminals, without markup in Markdown.

Control characters write into the title of a terminal or clear it, and marks of direction show a text in another order
than it is read in. They are refused where a person types; ledgers have older texts, and services send what they like.
"""

import re

#: Control characters but for tab and line ends, and marks that turn the direction of what follows; read alike by
#: Python and by the browser that shows a form.
CONTROL = r"[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]"

_CONTROL = re.compile(rf"{CONTROL}|\r(?!\n)")
#: A span of code, which shows what is in it as it is.
_CODE = re.compile(r"(`[^`]+`)")
#: What has a meaning in Markdown where it stands; an underscore within a word has none.
_MARKUP = re.compile(r"[\\\[\]<>*~|`]|(?<!\w)_|_(?!\w)|^[#+-]|&(?=#|\w+;)")


def visible(text: str) -> str:
    """The text with each control character as its escape, such as `\\x1b`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def as_markdown(text: str, *, code: bool = False) -> str:
    """A text of one line that Markdown shows as it is; `code` leaves spans of code, as our own sentences have them."""
    line = " ".join(visible(text).split())
    pieces = _CODE.split(line) if code else [line]
    return "".join(
        piece.replace("|", "\\|") if place % 2 else _MARKUP.sub(r"\\\g<0>", piece) for place, piece in enumerate(pieces)
    )
