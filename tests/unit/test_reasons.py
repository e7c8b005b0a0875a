"""What a person types and the ledger keeps for good: no e-mail address, in clear or as in a URL."""

import io
import re
from datetime import UTC, datetime
from html import escape

import pytest
from markdown_it import MarkdownIt

from retirement.cli.options import require_keepable
from retirement.cli.output import PlainConsole, table
from retirement.cli.streams import Stream
from retirement.errors import ConfigError
from retirement.flows.kit.manual import OpenTask
from retirement.privacy import CONTROL, REFUSAL, as_markdown, keepable, visible, withheld


@pytest.mark.parametrize(
    "text",
    ["zoe@post.example", "for zoe@post.example, who asked", "/search?q=zoe%40post.example", "line\nzoe@post.example"],
)
def test_a_text_with_an_address_is_not_kept(text: str) -> None:
    """Wherever it stands; the sentence that says so does not repeat it."""
    with pytest.raises(ConfigError) as refused:
        require_keepable(reason=text)

    assert not keepable(text)
    assert str(refused.value) == f"--reason: {REFUSAL}"


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_text_that_says_nothing_is_not_kept(text: str) -> None:
    """An auditor could do nothing with it."""
    assert not keepable(text)


@pytest.mark.parametrize("text", ["Art. 17(3)(e)", "40% of a campus closed", "Zoë O'Hara, legal", "two\nlines", " 7"])
def test_any_other_text_is_kept(text: str) -> None:
    """Names of people cannot be told from other words; addresses can."""
    require_keepable(basis=text, org=None)

    assert keepable(text)


@pytest.mark.parametrize(
    "text", ["\x1b]0;owned\x07", "a\x1b[2Jb", "bell\x07", "\x9b31m", "abc\N{RIGHT-TO-LEFT OVERRIDE}def"]
)
def test_a_text_that_a_terminal_would_obey_is_not_kept(text: str) -> None:
    """It would write into the title, clear the screen, or read otherwise than it stands."""
    assert not keepable(text)
    assert withheld(text, []) == "withheld: it held an address or a control character"


#: Texts that mean something to rich, to Markdown, to a page or to a terminal.
TYPED = [
    "see file [/case 12]",
    "[bold]x[/bold] [link=http://evil.example]y[/link]",
    ":warning: 12:30:45",
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "<script>alert(1)</script> <b>x</b>",
    "| a | b | **bold** _it_ ~~no~~ `code`",
    "# heading",
    "&lt;b&gt;",
    "\x1b]0;owned\x07 \x1b[2J \x9b31m \r over",
]


@pytest.mark.parametrize("text", TYPED)
def test_a_typed_text_is_printed_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence, in a cell, in a heading and in a title; control characters by their escapes."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    printed = PlainConsole(Stream("stdout"))
    printed.print(text)
    printed.print(table([text], [[text]], title=text))

    assert stream.getvalue().count(visible(text)) == 4
    assert not re.search(CONTROL, stream.getvalue())


@pytest.mark.parametrize("text", TYPED)
def test_a_typed_text_is_no_markup_in_markdown(text: str) -> None:
    """As `markdown-it`, which rich and browsers follow, reads it: one paragraph with this text."""
    shown = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(f"- {as_markdown(text)}")

    assert shown == f"<ul>\n<li>{escape(' '.join(visible(text).split()))}</li>\n</ul>\n"


def test_code_of_ours_stays_code() -> None:
    """A command in a sentence; what stands around it is text all the same."""
    assert as_markdown("run `retirement verify --all` for [x](y)", code=True) == (
        "run `retirement verify --all` for \\[x\\](y)"
    )
    assert as_markdown("RETIRING_FORUMS") == "RETIRING_FORUMS"


@pytest.mark.parametrize("text", [*TYPED, "# Shred\n\n1. <b>the</b> card\n- | `x` | **it** \\\n===\n"])
def test_the_task_of_a_manual_step_is_text(text: str) -> None:
    """In bold, its lines as they were typed; the name of the service, which the configuration has as well."""
    question = OpenTask("r", 17, "RETIRING_PAPER", "*PAPER*", text, datetime(2026, 3, 1, tzinfo=UTC)).question
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(question)

    lines = [" ".join(visible(line).split()) for line in text.splitlines() if line.strip()]
    bold = "<br />\n".join(f"<strong>{escape(line)}</strong>" for line in lines)
    assert page.startswith(f"<p>{bold}</p>\n<p>Learner 17 (the LMS user id), for *PAPER*, due by 2026-03-01.</p>")
