"""What a person types and the ledger keeps for good: no e-mail address, in clear or as in a URL."""

import pytest

from retirement.cli.options import require_keepable
from retirement.errors import ConfigError
from retirement.privacy import keepable


@pytest.mark.parametrize(
    "text",
    ["zoe@post.example", "for zoe@post.example, who asked", "/search?q=zoe%40post.example", "line\nzoe@post.example"],
)
def test_a_text_with_an_address_is_not_kept(text: str) -> None:
    """Wherever it stands; the sentence that says so does not repeat it."""
    with pytest.raises(ConfigError) as refused:
        require_keepable(reason=text)

    assert not keepable(text)
    assert str(refused.value) == "--reason: no text with an e-mail address in it, or with nothing in it, is kept"


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_text_that_says_nothing_is_not_kept(text: str) -> None:
    """An auditor could do nothing with it."""
    assert not keepable(text)


@pytest.mark.parametrize("text", ["Art. 17(3)(e)", "40% of a campus closed", "Zoë O'Hara, legal", "two\nlines", " 7"])
def test_any_other_text_is_kept(text: str) -> None:
    """Names of people cannot be told from other words; addresses can."""
    require_keepable(basis=text, org=None)

    assert keepable(text)
