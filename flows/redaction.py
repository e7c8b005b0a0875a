"""The last net before a log: takes out whatever looks like an e-mail address, and every learner at work.

The first net is that nobody logs a learner. This one is for what others log: Prefect, httpx, a traceback.
"""

import json
import logging
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from retirement.learner import Learner

REDACTED = "[redacted]"

#: An address, also as it stands in a URL.
_EMAIL = re.compile(r"[^\s@\"'<>()\[\]{},;:/?&=]+(?:@|%40)[^\s@\"'<>()\[\]{},;:/?&=]+", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")

#: A single letter would be taken out of every line.
_SHORTEST = 2

_lock = threading.Lock()
#: How many have remembered each way to write an identity; two learners may share a name.
_holders: Counter[str] = Counter()
#: The same by the first word of each, which is all that a line without learners is looked up for.
_by_word: defaultdict[str, set[str]] = defaultdict(set)


def remember(learner: Learner) -> None:
    """From here on no log line shows the learner's username, e-mail or name; undone by `forget`."""
    with _lock:
        for text in _identities(learner):
            _holders[text] += 1
            _by_word[_first_word(text)].add(text)


def forget(learner: Learner) -> None:
    """Drops what `remember` has kept, once the learner is not worked on any more."""
    with _lock:
        for text in _identities(learner):
            _holders[text] -= 1
            if _holders[text] > 0:
                continue
            del _holders[text]
            word = _first_word(text)
            _by_word[word].discard(text)
            if not _by_word[word]:
                del _by_word[word]


@contextmanager
def known(learner: Learner) -> Iterator[None]:
    """Keeps the learner out of the logs until the block ends."""
    remember(learner)
    try:
        yield
    finally:
        forget(learner)


def redact(text: str) -> str:
    """The text without addresses and without the learners that are remembered, in capitals or not."""
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(REDACTED, text)
    if _by_word:
        words = {word.casefold() for word in _WORD.findall(text)}
        if not words.isdisjoint(_by_word.keys()):
            text = _without_learners(text, words)
    return text


def _without_learners(text: str, words: set[str]) -> str:
    with _lock:
        found = {each for word in words for each in _by_word.get(word, ())}
    # The longest first: a username may be a part of the name.
    either = "|".join(re.escape(each) for each in sorted(found, key=len, reverse=True))
    return re.sub(rf"(?<![^\W_])(?:{either})(?![^\W_])", REDACTED, text, flags=re.IGNORECASE)


class RedactingFilter(logging.Filter):
    """Lets every record pass, without learners in its message, its traceback and its stack."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - logging would print the arguments as they are
            record.msg, record.args = "a log line that could not be put together", None
        else:
            if (safe := redact(message)) != message:
                record.msg, record.args = safe, None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
            # Else a formatter with its own idea of tracebacks would take the exception itself.
            record.exc_info = None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_filter = RedactingFilter()


def redact_logs() -> None:
    """Puts the filter on every handler that there is, Prefect's API log and the console among them.

    Handlers that somebody adds later are without it, so each run calls this; more than once does no harm.
    """
    loggers = [logging.getLogger(), *list(logging.root.manager.loggerDict.values())]
    for logger in loggers:
        for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
            handler.addFilter(_filter)


def _first_word(text: str) -> str:
    found = _WORD.search(text)
    return found.group().casefold() if found else ""


def _identities(learner: Learner) -> set[str]:
    """Every way in which a log may write who the learner is: in clear, in a URL, in JSON."""
    found: set[str] = set()
    for text in (learner.username, learner.email, learner.name, learner.current_username):
        clear = text.strip()
        if len(clear) >= _SHORTEST and _WORD.search(clear):
            found |= {clear, quote(clear), quote(clear, safe=""), quote_plus(clear), json.dumps(clear)[1:-1]}
    return found
