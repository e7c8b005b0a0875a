"""What a predecessor's file leaves to a command line: how long to wait, how many to take, when to stop.

The reference scripts take these three as options, and the sites' jobs pass their own: Tutor's 30 days and edx.org's
14 stand in no file. A retirement cannot be undone, so that the most careful value that is known stands in, with a
warning, until the operator says theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retirement.config.document import Node
from retirement.config.draft import Draft, Outside, moved
from retirement.config.problems import Problems


@dataclass(frozen=True, slots=True)
class Answers:
    """What the operator says to that, and whether a missing misc step is put in; None: nothing was said."""

    cool_off_days: int | None = None
    batch_size: int | None = None
    threshold: int | None = None
    add_misc: bool = False


NO_ANSWERS = Answers()

#: Tutor's plugin passes 30 days, edx.org's job 14; the scripts have 7 by themselves and the Ansible role 5.
COOL_OFF = Outside("cool_off_days", "--cool-off-days", 30)
#: The scripts and edx.org's job alike.
BATCH = Outside("queue.limit", "--batch-size", 200)
#: Edx.org's job; the scripts have 300 by themselves.
THRESHOLD = Outside("queue.threshold", "--threshold", 251)
EVERYTHING = (COOL_OFF, BATCH, THRESHOLD)


def answered(draft: Draft, answers: Answers) -> Draft:
    """The draft with what the operator says, which goes before what the file says."""
    said = {COOL_OFF: answers.cool_off_days, BATCH: answers.batch_size, THRESHOLD: answers.threshold}
    for each, value in said.items():
        if value is not None:
            draft = _put(draft, each, value, each.option)
    return draft


def filled(draft: Draft, problems: Problems) -> tuple[Draft, tuple[str, ...]]:
    """The draft with a value for everything that its dialect leaves outside, and the keys that had none."""
    missing = [each for each in draft.outside if _given(draft, each) is None]
    if not missing:
        return draft, ()
    keys = tuple(each.key for each in missing)
    names = list(map(draft.named, keys))
    for each, name in zip(missing, names, strict=True):
        draft = _put(draft, each, each.careful, name)
    problems.warn(1, ", ".join(names), _warning(missing))
    return draft, keys


def _warning(missing: Sequence[Outside]) -> str:
    values = ", ".join(str(each.careful) for each in missing)
    options = ", ".join(each.option for each in missing)
    longest = "; 30 days are the longest, Tutor's, where edx.org has 14, the scripts 7 and the Ansible role 5"
    return (
        f"not in this file, as it may have stood on a command line; the most careful that is known is taken: {values}"
        f"{longest if COOL_OFF in missing else ''}. Write your own here, or give `retirement config import` {options}"
    )


def _given(draft: Draft, setting: Outside) -> Node | None:
    section, _, name = setting.key.rpartition(".")
    parent = draft.root.child(section) if section else draft.root
    return parent.entries.get(name)


def _put(draft: Draft, setting: Outside, value: int, key: str) -> Draft:
    section, _, name = setting.key.rpartition(".")
    node = Node(value, 1, key, str(value))
    root = draft.root.entries
    if section:
        inner = root.get(section) or Node({}, 1, section)
        return replace(draft, root=moved(draft.root, root | {section: moved(inner, inner.entries | {name: node})}))
    return replace(draft, root=moved(draft.root, root | {name: node}))
