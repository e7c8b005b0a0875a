"""A certificate for browsers, as one page that needs nothing else, and for artifacts, as Markdown."""

from html import escape

from retirement.certificate.sections import Section, sections, title, verdict
from retirement.certificate.statements import Certificate
from retirement.privacy import as_markdown, visible

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a;background:#fff}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0;font-size:.9rem}"
    "th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    "td{overflow-wrap:anywhere}"
    ".verdict{padding:.75rem 1rem;border:3px solid #1a1a1a;font-weight:bold}"
    "@media print{body{margin:0;max-width:none}}"
)


def html(certificate: Certificate) -> str:
    """One page without scripts or addresses; every value is escaped."""
    name = _text(title(certificate))
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>',
        f"<style>{_STYLE}</style></head>",
        f'<body><main><h1>{name}</h1><p class="verdict">{_text(verdict(certificate))}</p>',
    ]
    parts += [_html(section) for section in sections(certificate)]
    return "\n".join([*parts, "</main></body></html>", ""])


def _text(text: str) -> str:
    """A text of a page: neither a tag nor a control character."""
    return escape(visible(text))


def _html(section: Section) -> str:
    heading = _text(section.title)
    parts = [f"<section><h2>{heading}</h2>"]
    parts += [f"<p>{_text(sentence)}</p>" for sentence in section.sentences]
    if section.rows:
        names = "".join(f'<th scope="col">{_text(column)}</th>' for column in section.columns)
        parts.append(f'<table aria-label="{heading}"><thead><tr>{names}</tr></thead><tbody>')
        for first, *rest in section.rows:
            cells = "".join(f"<td>{_text(cell)}</td>" for cell in rest)
            parts.append(f'<tr><th scope="row">{_text(first)}</th>{cells}</tr>')
        parts.append("</tbody></table>")
    return "\n".join([*parts, "</section>"])


def markdown(certificate: Certificate) -> str:
    """The artifact of a run: the same sections, with tables."""
    parts = [f"# {as_markdown(title(certificate))}", f"**{as_markdown(verdict(certificate))}**"]
    for section in sections(certificate):
        parts.append(f"## {section.title}")
        parts += [as_markdown(sentence) for sentence in section.sentences]
        if section.rows:
            head, *lines = (tuple(map(as_markdown, line)) for line in (section.columns, *section.rows))
            rule = tuple("---" for _ in head)
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines)))
    return "\n\n".join(parts) + "\n"
