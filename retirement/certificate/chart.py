"""A bar chart as SVG, without a file or a script: as a picture in Markdown, and as a part of a page of HTML."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from retirement.privacy import visible

#: Dark enough on white to be told from each other and from the ground, also by people who see no red or green.
GOOD, BAD, TEXT = "#2a6f97", "#b3541e", "#1a1a1a"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: what went well, and what an operator has to see, drawn behind it in another colour."""

    name: str
    good: int
    bad: int = 0


@dataclass(frozen=True, slots=True)
class _Layout:
    """Pixels: the names on the left, 0 where they stand above the bars, the bars, the numbers, and each row."""

    names: int
    bars: int
    numbers: int
    row: int

    @property
    def width(self) -> int:
        """Of the whole picture."""
        return self.names + self.bars + self.numbers

    @property
    def above(self) -> int:
        """What a name takes above its bar."""
        return 0 if self.names else 18


_WIDE = _Layout(160, 400, 80, 26)
#: Of the width of a telephone.
_NARROW = _Layout(0, 270, 80, 44)


def chart(title: str, bars: Sequence[Bar]) -> str:
    """The bars as an image in Markdown, whose text says the same; "" where there are none."""
    if not bars:
        return ""
    ground = f'<rect width="{_WIDE.width}" height="{_WIDE.row * len(bars)}" fill="#fff"/>'
    text = _told(title, bars).replace("[", "(").replace("]", ")")
    return f"![{text}](data:image/svg+xml;base64,{b64encode(_svg(bars, _WIDE, '', ground).encode()).decode()})"


def drawing(title: str, bars: Sequence[Bar]) -> str:
    """The bars as an SVG element of a page, in the colours of its style sheet, and with the same text; "" for none."""
    if not bars:
        return ""
    return _svg(bars, _NARROW, f' class="chart" role="img" aria-label="{escape(_told(title, bars))}"', "")


def _told(title: str, bars: Sequence[Bar]) -> str:
    return visible(f"{title}: {', '.join(f'{each.name}: {numbers(each)}' for each in bars)}")


def _svg(bars: Sequence[Bar], layout: _Layout, attributes: str, before: str) -> str:
    most = max(each.good + each.bad for each in bars) or 1
    width, height = layout.width, layout.row * len(bars)
    rows = "".join(_row(each, layout, layout.row * place, layout.bars / most) for place, each in enumerate(bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="13"{attributes}>{before}{rows}</svg>'
    )


def _row(bar: Bar, layout: _Layout, top: int, unit: float) -> str:
    # A style sheet goes before the attribute, which is for pictures without one.
    said, left = f'class="said" fill="{TEXT}"', layout.names
    good, bad = (round(unit * count, 1) for count in (bar.good, bar.bad))
    name = f'x="{left - 8}" text-anchor="end"' if left else 'x="0"'
    line = top + (layout.row + layout.above) // 2 + 5
    box = f'y="{top + layout.above + 4}" height="{layout.row - layout.above - 8}"'
    return (
        f'<text {said} {name} y="{line if left else top + 16}">{escape(visible(bar.name))}</text>'
        f'<rect class="good" fill="{GOOD}" x="{left}" {box} width="{good}"/>'
        f'<rect class="bad" fill="{BAD}" x="{left + good}" {box} width="{bad}"/>'
        f'<text {said} x="{left + good + bad + 8}" y="{line}">{numbers(bar)}</text>'
    )


def numbers(bar: Bar) -> str:
    """Both numbers of a bar, without those that are 0."""
    return " + ".join(str(count) for count in (bar.good, bar.bad) if count) or "0"
