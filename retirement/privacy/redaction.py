"""The one net before logs, states and the ledger: takes out what looks like an e-mail address, and learners at work.

The first net is that our code names no learner. This one is for what others say: connectors of third parties in their
errors and log lines, Prefect, httpx, a traceback.
"""

import logging
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature

from retirement import errors
from retirement.errors import RetirementError
from retirement.learner import Learner
from retirement.privacy.names import contains_name, made_of, names_of, readings, spelling, words_of

REDACTED = "[redacted]"

#: An address, also as it stands in a URL.
_EMAIL = re.compile(r"[^\s@\"'<>()\[\]{},;:/?&=]+(?:@|%40)[^\s@\"'<>()\[\]{},;:/?&=]+", re.IGNORECASE)

#: Letters of the shortest name that is taken out; a single letter would be taken out of every line.
_SHORTEST = 2

#: A name may begin after a word's end, and after the escape of a sign.
_BEGIN, _END = r"(?:(?<![^\W_])|(?<=%[0-9a-f]{2})|(?<=\\[nrtbf]))", r"(?![^\W_])"

_lock = threading.Lock()
#: How often each learner is remembered: by the run, and by each of its steps meanwhile.
_times: Counter[Learner] = Counter()
#: How many of them have each name; two learners may share one.
_holders: Counter[str] = Counter()
#: The same by the first word of each, which is all that a line without learners is looked up for.
_by_word: defaultdict[str, set[str]] = defaultdict(set)


def remember(learner: Learner) -> None:
    """From here on no log line shows the learner's username, e-mail or name; undone by `forget`."""
    with _lock:
        if not _times[learner]:
            for name, word in _called(learner):
                _holders[name] += 1
                _by_word[word].add(name)
        _times[learner] += 1


def forget(learner: Learner) -> None:
    """Drops what `remember` has kept, once the learner is not worked on any more."""
    with _lock:
        _times[learner] -= 1
        if _times[learner] > 0:
            return
        del _times[learner]
        for name, word in _called(learner):
            _holders[name] -= 1
            if _holders[name] > 0:
                continue
            del _holders[name]
            _by_word[word].discard(name)
            if not _by_word[word]:
                del _by_word[word]


def _called(learner: Learner) -> list[tuple[str, str]]:
    """What a learner is called, each with its first word."""
    return [(name, words_of(name)[0]) for name in (*names_of(learner, shortest=_SHORTEST), *made_of(learner))]


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
    # Most processes have no learner at work, and reading a line takes time.
    words = _words(text) if _by_word else set()
    return text if words.isdisjoint(_by_word.keys()) else _without_learners(text, words)


def redacted(error: RetirementError) -> RetirementError:
    """The error; where it names a learner at work, or an address, one of ours that means the same and does not."""
    if redact(str(error)) == str(error) and all(redact(each) == each for each in map(str, error.args)):
        return error
    # A class of a third party may say in its text whatever it likes.
    kind = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    make: Callable[..., RetirementError] = kind
    # Its attributes and not its `args`, which may be those of another constructor.
    given = {name: getattr(error, name) for name in _arguments(kind)}
    texts = {name: redact(each) for name, each in given.items() if isinstance(each, str) and name != "service"}
    return make(**(given | texts)) if given else make(redact(str(error)))


def _arguments(kind: type) -> list[str]:
    """What the constructor of one of our errors takes, by name; none where it takes any texts."""
    constructor = next(vars(each)["__init__"] for each in kind.__mro__ if "__init__" in vars(each))
    found = signature(constructor).parameters.values()
    return [each.name for each in found if each.kind is each.POSITIONAL_OR_KEYWORD][1:]


def _words(text: str) -> set[str]:
    """The words of a text in each way to read it."""
    return {word for reading in readings(text) for word in words_of(reading)}


def _without_learners(text: str, words: set[str]) -> str:
    with _lock:
        found = {name for word in words for name in _by_word.get(word, ())}
    # The longest first: a username may be a part of the name.
    either = "|".join(spelling(name) for name in sorted(found, key=len, reverse=True))
    shown = re.sub(f"{_BEGIN}(?:{either}){_END}", REDACTED, text, flags=re.IGNORECASE)
    # A spelling that no program of ours writes: the line says less, and names no learner.
    return REDACTED if contains_name(shown, found) else shown


class RedactingFilter(logging.Filter):
    """Lets every record pass, without learners in its message, its traceback and its stack."""

    def filter(self, record: logging.LogRecord) -> bool:
        _redact_message(record)
        _redact_traceback(record)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


def _redact_message(record: logging.LogRecord) -> None:
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - logging would print the arguments as they are
        record.msg, record.args = "a log line that could not be put together", None
        return
    if (safe := redact(message)) != message:
        record.msg, record.args = safe, None


def _redact_traceback(record: logging.LogRecord) -> None:
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    if record.exc_text:
        record.exc_text = redact(record.exc_text)
        # Else a formatter with its own idea of tracebacks would take the exception itself.
        record.exc_info = None


_filter = RedactingFilter()


def redact_logs() -> None:
    """Puts the filter on every handler that there is, Prefect's API log and the console among them.

    Handlers that are added later are without it, so each run calls this; more than once does no harm.
    """
    if logging.lastResort is not None:
        # What a command logs that has set up no logging.
        logging.lastResort.addFilter(_filter)
    for handler in every_handler():
        handler.addFilter(_filter)


def every_handler() -> set[logging.Handler]:
    """The handlers of all loggers that there are now."""
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    return {each for logger in loggers if isinstance(logger, logging.Logger) for each in logger.handlers}
