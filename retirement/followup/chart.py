"""A bar chart that stands in Markdown by itself: SVG in a `data:` address, without a file or a script."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Pixels: the names on the left, the bars, the numbers on the right, and each row.
_NAMES, _BARS, _NUMBERS, _ROW = 160, 400, 80, 26
#: Dark enough on white to be told from each other and from the ground, also by people who see no red or green.
_GOOD, _BAD, _TEXT = "#2a6f97", "#b3541e", "#1a1a1a"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: what went well, and what an operator has to see, drawn behind it in another colour."""

    name: str
    good: int
    bad: int


def chart(title: str, bars: Sequence[Bar]) -> str:
    """The bars as an image in Markdown, whose text says the same; "" where there are none."""
    if not bars:
        return ""
    most = max(each.good + each.bad for each in bars) or 1
    width, height = _NAMES + _BARS + _NUMBERS, _ROW * len(bars)
    rows = "".join(_row(each, _ROW * place, _BARS / most) for place, each in enumerate(bars))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="13"><rect width="{width}" height="{height}" fill="#fff"/>{rows}</svg>'
    )
    told = ", ".join(f"{each.name}: {_numbers(each)}" for each in bars)
    text = f"{title}: {told}".replace("[", "(").replace("]", ")")
    return f"![{text}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"


def _row(bar: Bar, top: int, unit: float) -> str:
    middle = f'y="{top + _ROW // 2 + 5}" fill="{_TEXT}"'
    good, bad = (round(unit * count, 1) for count in (bar.good, bar.bad))
    box = f'y="{top + 4}" height="{_ROW - 8}"'
    return (
        f'<text x="{_NAMES - 8}" {middle} text-anchor="end">{escape(bar.name)}</text>'
        f'<rect x="{_NAMES}" {box} width="{good}" fill="{_GOOD}"/>'
        f'<rect x="{_NAMES + good}" {box} width="{bad}" fill="{_BAD}"/>'
        f'<text x="{_NAMES + good + bad + 8}" {middle}>{_numbers(bar)}</text>'
    )


def _numbers(bar: Bar) -> str:
    return " + ".join(str(count) for count in (bar.good, bar.bad) if count) or "0"
