"""A page for browsers, which needs nothing else, and for artifacts, as Markdown. Every value in it is text."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape

from retirement.certificate.chart import BAD, GOOD, TEXT, chart, drawing
from retirement.certificate.page import Page, Section
from retirement.privacy import as_markdown, visible

_STYLE = (
    ":root{color-scheme:light dark;"
    f"--text:{TEXT};--ground:#fff;--line:#767676;--good:{GOOD};--bad:{BAD}}}"
    "@media(prefers-color-scheme:dark){:root{"
    "--text:#ececec;--ground:#161616;--line:#8c8c8c;--good:#7cb9dd;--bad:#eb9a6a}}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;"
    "color:var(--text);background:var(--ground)}"
    "h1,h2,p,li{overflow-wrap:anywhere}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0;font-size:.9rem}"
    "th,td{border:1px solid var(--line);padding:.3rem .5rem;text-align:left;vertical-align:top}"
    "th,td{overflow-wrap:anywhere}"
    ".verdict{padding:.75rem 1rem;border:3px solid var(--text);font-weight:bold}"
    ".wide{overflow-x:auto;margin:1rem 0}.wide table{min-width:52rem;margin:0}"
    "@media screen and (max-width:40rem){.wide table{min-width:0}.wide thead,.wide td:empty{display:none}"
    ".wide tr,.wide th,.wide td{display:block;border:0}.wide tr{border:1px solid var(--line);margin-bottom:.5rem}"
    ".wide [data-column]::before{content:attr(data-column) ': ';font-weight:normal}}"
    ".chart{display:block;width:100%;max-width:30rem;height:auto}"
    ".good{fill:var(--good)}.bad{fill:var(--bad)}.said{fill:var(--text)}"
    "@media print{:root{--text:#000;--ground:#fff}body{margin:0;max-width:none}}"
)
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'"
)
#: Columns that fit on a telephone.
_FEW = 3
#: A command between two backticks.
_CODE = re.compile(r"`([^`]+)`")


def html(page: Page) -> str:
    """One page without scripts or addresses, which a browser may load nothing for; every value is escaped."""
    name = _text(page.title)
    head = (
        '<head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{name}</title><style>{_STYLE}</style></head>'
    )
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        head,
        f'<body><main><h1>{name}</h1><p class="verdict">{_said(page, page.verdict)}</p>',
    ]
    parts += [_html(page, section) for section in page.sections]
    return "\n".join([*parts, "</main></body></html>", ""])


def _text(text: str) -> str:
    """A text of a page: neither a tag nor a control character."""
    return escape(visible(text))


def _said(page: Page, text: str) -> str:
    """A sentence; commands in it look like commands."""
    return _CODE.sub(r"<code>\1</code>", _text(text)) if page.has_code else _text(text)


def _html(page: Page, section: Section) -> str:
    heading = _text(section.title)
    parts = [f"<section><h2>{heading}</h2>"]
    parts += [f"<p>{_said(page, sentence)}</p>" for sentence in section.sentences]
    if section.items:
        parts.append(f"<ul>{''.join(f'<li>{_said(page, each)}</li>' for each in section.items)}</ul>")
    if section.rows:
        parts += _table(page, section, heading)
    if section.bars:
        parts.append(drawing(section.picture, section.bars))
    return "\n".join([*parts, "</section>"])


def _table(page: Page, section: Section, heading: str) -> Iterator[str]:
    names = "".join(f'<th scope="col">{_text(column)}</th>' for column in section.columns)
    # On a telephone each row of a table of many columns is a list; on a tablet it is moved by finger or key.
    if is_wide := len(section.columns) > _FEW:
        yield f'<div class="wide" tabindex="0" role="region" aria-label="{heading}">'
    yield f'<table aria-label="{heading}"><thead><tr>{names}</tr></thead><tbody>'
    ours, *others = (f' data-column="{_text(column)}"' if is_wide else "" for column in section.columns)
    for first, *rest in section.rows:
        cells = "".join(f"<td{column}>{_said(page, cell)}</td>" for column, cell in zip(others, rest, strict=True))
        yield f'<tr><th scope="row"{ours}>{_text(first)}</th>{cells}</tr>'
    yield f"</tbody></table>{'</div>' if is_wide else ''}"


def plain(page: Page) -> str:
    """The page as plain text, for letters: its sentences, lists and tables."""
    parts = [visible(page.title), visible(page.verdict)]
    for section in page.sections:
        lines = [*section.sentences, *(f"- {each}" for each in section.items)]
        lines += [" | ".join(row) for row in ((section.columns, *section.rows) if section.rows else ())]
        parts.append("\n".join(visible(" ".join(line.split())) for line in (section.title, *lines)))
    return "\n\n".join(parts) + "\n"


def markdown(page: Page) -> str:
    """The artifact of a run: the same sections, with tables."""

    def said(text: str) -> str:
        return as_markdown(text, code=page.has_code)

    parts = [f"# {as_markdown(page.title)}", f"**{said(page.verdict)}**"]
    for section in page.sections:
        parts.append(f"## {section.title}")
        parts += [said(sentence) for sentence in section.sentences]
        if section.items:
            parts.append("\n".join(f"- {said(each)}" for each in section.items))
        if section.rows:
            head, *lines = (tuple(map(said, line)) for line in (section.columns, *section.rows))
            rule = tuple("---" for _ in head)
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines)))
        if section.bars:
            parts.append(chart(section.picture, section.bars))
    return "\n\n".join(parts) + "\n"
