"""A chart in Markdown: a picture that any browser draws by itself, and a text that says the same."""

import re
from base64 import b64decode
from xml.etree import ElementTree

from retirement.certificate.chart import Bar, chart

SVG = "{http://www.w3.org/2000/svg}"


def drawn(markdown: str) -> ElementTree.Element:
    """The picture, parsed."""
    (found,) = re.findall(r"\(data:image/svg\+xml;base64,([\w+/=]+)\)", markdown)
    return ElementTree.fromstring(b64decode(found))  # noqa: S314 - it is ours


def test_the_bars_are_as_long_as_what_they_count() -> None:
    """The longest one has all the room; what failed comes after what went well."""
    picture = drawn(chart("Attempts", [Bar("LMS", 30, 10), Bar("NOTES", 0, 20), Bar("FORUM", 0, 0)]))
    boxes = [(float(each.get("x", "0")), float(each.get("width", "0"))) for each in picture.iter(f"{SVG}rect")][1:]

    assert boxes == [(160, 300), (460, 100), (160, 0), (160, 200), (160, 0), (160, 0)]
    assert [each.text for each in picture.iter(f"{SVG}text")] == ["LMS", "30 + 10", "NOTES", "20", "FORUM", "0"]


def test_the_text_of_the_picture_has_the_numbers_and_no_markup_of_its_own() -> None:
    """A screen reader tells what the picture shows; names stay text in both."""
    markdown = chart("Attempts", [Bar("a]b<c>&", 1, 0)])

    assert markdown.startswith("![Attempts: a)b<c>&: 1](data:")
    assert [each.text for each in drawn(markdown).iter(f"{SVG}text")] == ["a]b<c>&", "1"]


def test_nothing_is_no_picture() -> None:
    """The page says so in words."""
    assert chart("Attempts", []) == ""
