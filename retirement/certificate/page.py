"""A page that is written as HTML, Markdown or PDF: headings, sentences, lists, tables and charts, in the same words."""

from dataclasses import dataclass
from datetime import datetime

from retirement.certificate.chart import Bar


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, then what there is of sentences, a list, a table and a chart; every cell is plain text."""

    title: str
    sentences: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    items: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    picture: str = ""  #: what the chart shows


@dataclass(frozen=True, slots=True)
class Page:
    """Sections below a title and the sentence that stands on top; no text of it is markup."""

    title: str
    verdict: str
    sections: tuple[Section, ...]
    made_at: datetime  #: as a PDF names it: the same page is the same file
    subject: str = ""  #: of the PDF
    has_code: bool = False  #: whether what stands between two backticks is a command, in sentences of ours
