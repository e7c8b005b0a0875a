"""Cron lines, checked as far as a mistake would be noticed only at night."""

import re

_NAMES = {"month": "jan feb mar apr may jun jul aug sep oct nov dec", "day of week": "sun mon tue wed thu fri sat"}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_RANGE = re.compile(r"(?:\*|(?P<low>\w+)(?:-(?P<high>\w+))?)(?:/(?P<step>[1-9]\d?))?", re.ASCII)


def problem_of(line: str) -> str | None:
    """Why this is no cron line, None where it is one."""
    fields = line.split()
    if len(fields) != len(_FIELDS):
        return "must be a cron line of five fields, such as `0 4 * * *`"
    for text, (name, lowest, highest) in zip(fields, _FIELDS, strict=True):
        if not all(_fits(part, name, lowest, highest) for part in text.split(",")):
            return f"its field for the {name} is no cron field from {lowest} to {highest}"
    return None


def _fits(part: str, name: str, lowest: int, highest: int) -> bool:
    match = _RANGE.fullmatch(part)
    if not match:
        return False
    ends = [_number(end, name) for end in (match["low"], match["high"]) if end is not None]
    return all(end is not None and lowest <= end <= highest for end in ends)


def _number(text: str, name: str) -> int | None:
    if text.isdecimal():
        return int(text) if len(text) < 3 else None
    names = _NAMES.get(name, "").split()
    return names.index(text.lower()) + (name == "month") if text.lower() in names else None
