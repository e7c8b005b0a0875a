"""A page on paper: a PDF that is the same, byte for byte, for the same page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from retirement.certificate.chart import BAD, GOOD, Bar, numbers
from retirement.certificate.page import Page, Section
from retirement.privacy import visible

if TYPE_CHECKING:
    from fpdf import FPDF

_FONT = "helvetica"
#: Millimetres; hashes are long, so pages lie on their side.
_LINE, _SMALL_LINE = 6.0, 4.0
#: What a heading takes together with the first lines below it, which stay on one page.
_BLOCK = 26.0
#: What a chart takes for names and for the longest bar.
_NAMES, _BARS = 50.0, 150.0
#: What the standard fonts of PDF can write.
_LETTERS = "cp1252"
#: Shares of the page's width by column; others take one share.
_WIDE = {"hash": 4, "reference": 3, "basis": 3, "evidence": 2, "value": 4, "at": 2, "when": 2}


def pdf(page: Page) -> bytes:
    """The same sections as in a browser; a letter that the standard fonts of PDF lack stands there as its code."""
    # Only who wants paper waits for the fonts to load.
    from fpdf import FPDF

    document = FPDF(orientation="landscape", format="A4")
    document.core_fonts_encoding = _LETTERS
    document.set_title(page.title)
    document.set_subject(page.subject)
    document.set_lang("en")
    document.set_creation_date(page.made_at)
    document.add_page()
    _write(document, page.title, size=16, bold=True)
    _write(document, page.verdict, size=12, bold=True)
    for section in page.sections:
        if document.will_page_break(_BLOCK):
            document.add_page()
        document.ln(_SMALL_LINE)
        _write(document, section.title, size=12, bold=True)
        for sentence in (*section.sentences, *(f"- {each}" for each in section.items)):
            _write(document, sentence, size=9)
        if section.rows:
            _table(document, section)
        _chart(document, section.bars)
    return bytes(document.output())


def _chart(document: "FPDF", bars: Sequence[Bar]) -> None:
    """The bars below each other, as they are on the screen."""
    document.set_font(_FONT, "", 7)
    most = max((each.good + each.bad for each in bars), default=0) or 1
    for bar in bars:
        if document.will_page_break(_SMALL_LINE):
            document.add_page()
        document.cell(_NAMES, _SMALL_LINE, _plain(bar.name), align="R")
        left, top = document.get_x() + 2, document.get_y() + 0.5
        for count, colour in ((bar.good, GOOD), (bar.bad, BAD)):
            width = _BARS * count / most
            document.set_fill_color(colour)
            document.rect(left, top, width, _SMALL_LINE - 1, style="F")
            left += width
        document.set_x(left + 2)
        document.cell(0, _SMALL_LINE, numbers(bar), new_x="LMARGIN", new_y="NEXT")


def _write(document: "FPDF", text: str, *, size: int, bold: bool = False) -> None:
    document.set_font(_FONT, "B" if bold else "", size)
    height = _LINE if size > 9 else _SMALL_LINE
    document.multi_cell(0, height, _plain(text), new_x="LMARGIN", new_y="NEXT", align="L")


def _table(document: "FPDF", section: Section) -> None:
    document.set_font(_FONT, "", 7)
    widths = tuple(_WIDE.get(column, 1) for column in section.columns)
    with document.table(col_widths=widths, line_height=_SMALL_LINE, text_align="LEFT") as table:
        for cells in (section.columns, *section.rows):
            row = table.row()
            for cell in cells:
                row.cell(_plain(cell))


def _plain(text: str) -> str:
    return visible(text).encode(_LETTERS, "backslashreplace").decode(_LETTERS)
