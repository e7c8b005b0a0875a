"""Every "contract, section N" names a section that docs/contract has; a fact without its source is a rumour."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from retirement.connectors import registry

from .source import PRODUCT, ROOT, TESTS, WORDS, files, modules

CONTRACTS = ROOT / "docs" / "contract"
#: `2.7` and `7` are of the LMS, `A2.2`, `C10` and `E` of the services, unless the citation names the file.
SECTION = r"(?:[A-I]\d{1,2}(?:\.\d)?|\d(?:\.\d{1,2})?|[A-I])(?![\w%])"
NAMED = re.compile(
    r"(?P<lead>(?:(?:\b[Cc]ontract(?: of the (?:LMS|services))?|\b(?:lms|services)\.md|\b[Ss]ections?)[,:]? )+)"
    rf"(?P<sections>{SECTION}(?:(?: \([^)]*\))?(?:, and |, | and |–| to ){SECTION}|,? point \d+)*)"
)
#: Connectors of services that a configuration declares: their facts are the operator's.
DECLARED = {"retirement.connectors.http", "retirement.connectors.manual", "retirement.connectors.sql"}
#: What cites: code, tests and prose; this module's own examples are not citations.
EXEMPT = {"tests/house/test_citations.py"}


@cache
def sections(contract: str) -> frozenset[str]:
    """The numbers of a contract's headings, and of the paragraphs and points that it numbers."""
    found: set[str] = set()
    above = ""
    for line in (CONTRACTS / contract).read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ (?:([A-I]?[\d.]*\d|[A-I])\.? |Appendix)", line):
            above = heading[1] or "Appendix"
            found.add(above)
        elif paragraph := re.match(r"((?:[A-I]\d+|0)\.\d+) ", line):
            found.add(paragraph[1])
        elif point := re.match(r"(\d+)\. ", line):
            found.add(f"{above}, point {point[1]}")
    return frozenset(found)


def cited(text: str) -> Iterator[tuple[str, str]]:
    """Contract and section of every citation in a text, whose lines may be those of a comment."""
    flat = re.sub(r"\s+(?:#:?\s+)?", " ", text)
    for match in NAMED.finditer(flat):
        lead, whole, above = match["lead"], match["sections"], ""
        for found in re.finditer(rf"point (\d+)|({SECTION})", re.sub(r" \([^)]*\)", "", whole)):
            point, section = found.groups("")
            if section.isalpha() and "ection" not in lead and ".md" not in lead and not above:
                continue  # a word of prose: "by contract A …"
            above = section or f"{above}, point {point}"
            services = above[0].isalpha() or lead.rstrip(" ,:").endswith("services") or "services.md" in lead
            yield ("services.md" if services else "lms.md"), above


def test_the_contracts_have_sections() -> None:
    """Else every citation would dangle, or none could."""
    assert {"0", "2.7", "4.21", "7", "5.6, point 11"} <= sections("lms.md")
    assert {"0.1", "A0", "A2.2", "B5.3", "C10", "E", "G, point 2"} <= sections("services.md")


def test_citations_are_found_however_they_are_written() -> None:
    """In a sentence, in a list, over the end of a comment's line; prose is no citation."""
    text = """(contract, sections 2.7 and 4.6–4.8). Contract of the services, section A2.2. services.md sections 0.1, E.
    # contract lms.md
    # 5.6, point 11. What survives by contract; a contract. A 404 of the contract, and 25 of them."""

    assert [section for _, section in cited(text)] == ["2.7", "4.6", "4.8", "A2.2", "0.1", "E", "5.6", "5.6, point 11"]
    assert [file for file, _ in cited(text)] == ["lms.md"] * 3 + ["services.md"] * 3 + ["lms.md"] * 2


def test_every_cited_section_is_in_the_contract() -> None:
    """In code, tests and documents; the contracts cite themselves too, in a way of their own."""
    dangling = set()
    for path in files():
        place = path.relative_to(ROOT).as_posix()
        if path.suffix not in (".py", ".md", ".yaml") or place in EXEMPT or CONTRACTS in path.parents:
            continue
        found = set(cited(path.read_text(encoding="utf-8")))
        dangling |= {(place, file, section) for file, section in found if section not in sections(file)}

    assert dangling == set()


def test_nothing_cites_a_document_that_is_not_here() -> None:
    """A design, a note or a format of some machine is no source for a reader of this repository."""
    texts = {module.place: module.text for module in modules(*PRODUCT, *WORDS, *TESTS)}
    strange = re.compile(r"\bdesign(?:\.md|,? section)|\b(?:house|style|findings)\.md\b")

    assert {place for place, text in texts.items() if strange.search(text) and place not in EXEMPT} == set()


def test_every_connector_cites_its_contract() -> None:
    """Where its facts come from stands once, in the module's docstring, with the section."""
    homes = {connector.__module__ for connector in registry().values()}
    found = {module.name: ast.get_docstring(module.tree) or "" for module in modules(*PRODUCT) if module.name in homes}

    assert {name for name, doc in found.items() if not any(cited(doc))} == DECLARED
