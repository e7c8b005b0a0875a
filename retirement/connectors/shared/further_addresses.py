"""Records whose main address is another one, and of which the learner's is only a further address.

The record may be of another person: a family's, a shared mailbox, two contacts that were merged. It is not deleted: a
person takes the address from it, or the record, and the receipt names it beside what was deleted.
"""

from collections.abc import Collection, Iterable

from retirement.connectors.kit.outcomes import Verdict

#: What stands before the id of such a record in a receipt.
_MARK = "address:"


def receipt_of(deleted: Iterable[object], further: Iterable[object]) -> str:
    """The receipt of records that were deleted, and of those that a person has to look at."""
    return " ".join([*map(str, deleted), *(f"{_MARK}{each}" for each in further)])


def deleted_in(receipt: str) -> list[str]:
    """The ids of the records that were deleted."""
    return [each for each in receipt.split() if not each.startswith(_MARK)]


def further_in(receipt: str) -> list[str]:
    """The ids of the records that a person has to look at."""
    return [each.removeprefix(_MARK) for each in receipt.split() if each.startswith(_MARK)]


def verdicts_of(receipt: str, there: Collection[str] | None) -> list[Verdict]:
    """What the records that have the learner's address now tell; None: the LMS has forgotten the address."""
    further = further_in(receipt)
    if there is None:
        return [Verdict.FAILED] if further else []
    known = {*deleted_in(receipt), *further}
    waits = [Verdict.WORKING for each in further if each in there]
    return [*waits, *(Verdict.ANOTHER for each in there if each not in known)]
