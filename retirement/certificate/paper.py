"""A certificate on paper: a PDF that is the same, byte for byte, for the same certificate."""

from typing import TYPE_CHECKING

from retirement.certificate.sections import Section, sections, title, verdict
from retirement.certificate.statements import Certificate, fingerprint
from retirement.ledger import chain
from retirement.privacy import visible

if TYPE_CHECKING:
    from fpdf import FPDF

_FONT = "helvetica"
#: Millimetres; hashes are long, so pages lie on their side.
_LINE, _SMALL_LINE = 6.0, 4.0
#: What a heading takes together with the first lines below it, which stay on one page.
_BLOCK = 26.0
#: What the standard fonts of PDF can write.
_LETTERS = "cp1252"
#: Shares of the page's width by column; others take one share.
_WIDE = {"hash": 4, "previous": 4, "reference": 3, "basis": 3, "evidence": 2, "value": 4, "at": 2, "when": 2}


def pdf(certificate: Certificate) -> bytes:
    """The same sections as the page; a letter that the standard fonts of PDF lack stands there as its code."""
    # Only who wants paper waits for the fonts to load.
    from fpdf import FPDF

    document = FPDF(orientation="landscape", format="A4")
    document.core_fonts_encoding = _LETTERS
    document.set_title(title(certificate))
    document.set_subject(fingerprint(certificate))
    document.set_lang("en")
    document.set_creation_date(chain.read(certificate["proof"]["head"]["at"]))
    document.add_page()
    _write(document, title(certificate), size=16, bold=True)
    _write(document, verdict(certificate), size=12, bold=True)
    for section in sections(certificate):
        if document.will_page_break(_BLOCK):
            document.add_page()
        document.ln(_SMALL_LINE)
        _write(document, section.title, size=12, bold=True)
        for sentence in section.sentences:
            _write(document, sentence, size=9)
        if section.rows:
            _table(document, section)
    return bytes(document.output())


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
