"""What shows of each flow without a run of it."""

import re
from pathlib import Path

import pytest

from retirement import flows
from retirement.flows.deployments import OFFERS
from tests.flows.every import FLOWS

SOURCES = sorted(Path(str(flows.__file__)).parent.glob("*.py"))


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_on_offer_and_its_form_says_what_each_field_is(name: str) -> None:
    """Prefect shows the name of a parameter as its title, and the description below it."""
    flow = FLOWS[name]

    assert flow in [offer.flow for offer in OFFERS]
    assert flow.description
    for field in flow.parameters.properties.values():
        assert field["description"].endswith("."), "its type is in retirement/flows/kit/parameters.py"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_flow_judges_an_error_itself(path: Path) -> None:
    """The states of errors stand once, and each flow goes through the door where they do."""
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"except .*(RetirementError|Interrupted|GuardStopped|BusyElsewhere|Defect)", text)
    assert text.count("\n@door(") == text.count("return await ending(")
