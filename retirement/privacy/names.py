"""The one rule of what names a learner, and of what may be kept of a text.

A text mentions a learner when all words of the username, the e-mail or the name follow one another in it, whatever
signs stand between and around them. Every spelling counts: capitals, accents, the escapes of URLs (`%2B`, `+` for
a blank) and of JSON (`\\u00ed`), Base64, one within the other as well; and so do the hashes by which services know
an address. A part of a longer word is no mention.
"""

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import md5, sha1, sha256
from typing import Any
from urllib.parse import quote, unquote

from retirement.learner import Learner
from retirement.privacy.plain import CONTROL

#: A text that says something and has neither an address in it, in clear or as in a URL, nor a control character; read
#: alike by Python and by the browser that shows a form. No login, no article of a law and no reason needs an at sign.
PATTERN = rf"^(?![\s\S]*(?:@|%40|{CONTROL}))[\s\S]*\S"

#: Ends the sentence that begins with what was refused.
REFUSAL = "no text with an e-mail address or a control character in it, or with nothing in it, is kept"

#: Letters of the shortest name that is looked for, unless a place says otherwise: shorter ones are words too often.
SHORTEST = 3

#: Words of which ids of services are made; a learner may be called so.
KINDS_OF_RECORDS = frozenset({"lead", "contact", "address"})

#: Hashes that gravatars, mailing lists and advertisers make of an address.
_HASHES: tuple[Callable[[bytes], Any], ...] = (
    partial(md5, usedforsecurity=False),
    partial(sha1, usedforsecurity=False),
    sha256,
)
#: Letters of the shortest part of an address that tells its owner.
_DISTINCT = 6

#: Layers of escapes that are taken off a text.
_LAYERS = 3

_WORD = re.compile(r"[^\W_]+")
_HEX = "[0-9a-fA-F]"
#: Escapes of JSON and of Python's `repr`, however many backslashes stand before them.
_ESCAPE = re.compile(rf"\\+(?:U({_HEX}{{8}})|[uU]({_HEX}{{4}})|[xX]({_HEX}{{2}})|[nrtbf\"'/])")
#: What may be Base64, of either alphabet; its signs may also stand between it and the text around it.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}={0,2}")
_SIGN = re.compile(r"[+/_-]")
#: Parts of a path that are tried each by itself.
_MOST_SIGNS = 8
#: Bytes as Python's `repr` has them.
_BYTES = re.compile(rf"(?:\\+x{_HEX}{{2}})+")
_BETWEEN = r"(?:%[0-9a-f]{2}|\\+[nrtbf\"'/]|[\W_])+?"


def keepable(text: str) -> bool:
    """Whether a text that a person typed may be kept."""
    return re.search(PATTERN, text) is not None


def names_of(learner: Learner, *, shortest: int = SHORTEST) -> tuple[str, ...]:
    """What a learner is called: username, e-mail and name, and what the account is called at present.

    Without those that have fewer letters and digits than `shortest`, or none at all.
    """
    names = (learner.username, learner.email, learner.name, learner.current_username)
    return tuple(dict.fromkeys(name for name in names if _length(name) >= max(shortest, 1)))


def made_of(learner: Learner) -> tuple[str, ...]:
    """What programs make of a learner's names: hashes, and the part of the address before the at sign.

    That part only where it is no word of a language: of several words, or with a digit.
    """
    forms = {form for name in names_of(learner, shortest=1) for form in (name, name.lower(), name.strip().lower())}
    hashes = (made(form.encode("utf-8", "replace")).hexdigest() for form in sorted(forms) for made in _HASHES)
    local = learner.email.partition("@")[0]
    tells = _length(local) >= _DISTINCT and (len(words_of(local)) > 1 or any(map(str.isdigit, local)))
    return (*hashes, *([local] if tells else ()))


def mentions(text: str, learner: Learner, *, shortest: int = SHORTEST) -> bool:
    """Whether a text names a learner."""
    return contains_name(text, (*names_of(learner, shortest=shortest), *made_of(learner)))


def id_mentions(text: str, learner: Learner) -> bool:
    """Whether an id that a service made names a learner; neither a number nor a kind of record does."""
    names = names_of(learner)
    return contains_name(text, [*(name for name in names if not _is_part_of_ids(name)), *made_of(learner)])


def naming_others(ids: Sequence[str], learners: Sequence[Learner]) -> set[int]:
    """The places of ids, one for each learner, that name another of these learners.

    A word that all of them have is one of the service's, though a learner be called so; an address is never one.
    """
    names = {name for each in learners for name in (*names_of(each), *made_of(each))}
    # One look for all, since nearly always there is nothing.
    named = [place for place, text in enumerate(ids) if contains_name(text, names)]
    return {place for place in named if _names_one(ids, place, [*learners[:place], *learners[place + 1 :]])}


def _names_one(ids: Sequence[str], place: int, others: Sequence[Learner]) -> bool:
    if contains_name(ids[place], [name for each in others for name in (each.email, *made_of(each))]):
        return True
    plain = [each for each in others if id_mentions(ids[place], each)]
    return any(not id_mentions(text, each) for each in plain for text in ids if text)


def withheld(text: str, learners: Iterable[Learner]) -> str:
    """What a person typed, or why it is not kept: it has an address in it, or names one of the learners."""
    if text and not keepable(text):
        return "withheld: it held an address or a control character"
    if any(mentions(text, each) for each in learners):
        return "withheld: it named a learner"
    return text


def contains_name(text: str, names: Iterable[str]) -> bool:
    """Whether one of the names stands in a text, in any spelling."""
    wanted = [_words(name) for name in names]
    return any(name in reading for reading in map(_words, readings(text)) for name in wanted if name.strip())


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared: without capitals and accents."""
    return _WORD.findall(_folded(text))


def readings(text: str) -> set[str]:
    """The text as it stands, and as it reads without the escapes of URLs and of JSON, and without Base64."""
    found, outer = {text}, {text}
    for _ in range(_LAYERS):
        outer = {read(each) for each in outer for read in _READINGS} - found
        found |= outer
    return found


def spelling(name: str) -> str:
    """A regular expression for a name as programs write it: in clear, in a URL, in JSON; for any letter case."""
    words = (
        "|".join(re.escape(form) for form in dict.fromkeys((word, quote(word), json.dumps(word)[1:-1])))
        for word in _WORD.findall(name)
    )
    return _BETWEEN.join(f"(?:{word})" for word in words)


def _words(text: str) -> str:
    """The words with a blank around each, so that one such text is found in another only as whole words."""
    return f" {' '.join(words_of(text))} "


def _length(name: str) -> int:
    return sum(map(len, _WORD.findall(name)))


def _is_part_of_ids(name: str) -> bool:
    word = name.strip().casefold()
    return word.isdecimal() or word in KINDS_OF_RECORDS


def _folded(text: str) -> str:
    if text.isascii():
        return text.casefold()
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(each for each in letters if not unicodedata.category(each).startswith("M"))
    # The Turkish letter loses its capital's difference from i: `YILDIZ` is `Yıldız`.
    return plain.casefold().replace("\N{LATIN SMALL LETTER DOTLESS I}", "i")


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_character, text)
    # Two escapes may be one character.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _decoded(text: str) -> str:
    return _BASE64.sub(_of_base64, text)


def _of_base64(found: re.Match[str]) -> str:
    """What a word says as Base64, as a whole or between two signs; the word itself where that is no text."""
    word = found[0]
    if word.isalpha() and (word.islower() or word.isupper() or word.istitle()):
        # A word of a sentence, or a state: nearly all of what is read.
        return word
    signs = [each.start() for each in _SIGN.finditer(word)][:_MOST_SIGNS]
    for begin in (0, *(place + 1 for place in signs)):
        for end in (len(word), *reversed(signs)):
            if plain := _plain(word[begin:end].rstrip("=")):
                return f"{word[:begin]} {plain} {word[end:]}"
    return word


def _plain(letters: str) -> str | None:
    """The text that Base64 stands for; None where it stands for none."""
    if len(letters) < 4:
        return None
    filled = letters.replace("-", "+").replace("_", "/") + "=" * (-len(letters) % 4)
    try:
        plain = base64.b64decode(filled).decode()
    except ValueError:
        return None
    return plain if plain.isprintable() else None


def _without_bytes(text: str) -> str:
    return _BYTES.sub(_of_bytes, text) if "\\" in text else text


def _of_bytes(found: re.Match[str]) -> str:
    pairs = re.findall(rf"x({_HEX}{{2}})", found[0])
    return bytes(int(pair, 16) for pair in pairs).decode("utf-8", "replace")


def _character(escape: re.Match[str]) -> str:
    number = int(next((each for each in escape.groups() if each), "20"), 16)
    return chr(number) if number <= 0x10FFFF else " "


_READINGS: tuple[Callable[[str], str], ...] = (unquote, _unescaped, _without_bytes, _decoded)
