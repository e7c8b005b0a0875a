"""What shows of each flow without a run of it."""

import re
from pathlib import Path

import pytest

from retirement import flows
from retirement.config import SCHEDULED
from retirement.flows.deployments import OFFERS
from retirement.flows.kit import names
from tests.flows.every import FLOWS

from .source import ROOT

SOURCES = sorted(Path(str(flows.__file__)).parent.glob("*.py"))


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_on_offer_and_its_form_says_what_each_field_is(name: str) -> None:
    """Prefect shows the name of a parameter as its title, and the description below it."""
    flow = FLOWS[name]

    assert flow in [offer.flow for offer in OFFERS]
    assert flow.description
    for field in flow.parameters.properties.values():
        assert field["description"].endswith("."), "its type is in retirement/flows/kit/parameters.py"


def test_every_flow_has_its_name_where_dead_runs_and_the_door_look_for_it() -> None:
    """A run of another is left as it is when its process dies, and no permission is enough to answer its form."""
    assert {flow.name for flow in FLOWS.values()} == {*names.FLOWS, *names.JOBS}


def test_the_operator_reads_of_every_deployment() -> None:
    """In the table of the guide, in a row of its own."""
    table = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8").partition("| deployment |")[2]

    rows = re.findall(r"^\| `([\w-]+)` \|", table.partition("\n\n")[0], flags=re.MULTILINE)
    assert sorted(rows) == sorted(offer.name for offer in OFFERS)


def test_every_schedule_is_of_a_deployment_and_can_be_paused() -> None:
    """A key without its deployment would start no run, and a flow that does not look would not stay paused."""
    looked = re.findall(r"unless_paused\(\"([\w-]+)\"", "".join(path.read_text(encoding="utf-8") for path in SOURCES))

    assert sorted(looked) == sorted(SCHEDULED)
    assert set(SCHEDULED) <= {offer.name for offer in OFFERS}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_flow_judges_an_error_itself(path: Path) -> None:
    """The states of errors stand once, and each flow goes through the door where they do."""
    text = path.read_text(encoding="utf-8")

    assert not re.search(r"except .*(RetirementError|Interrupted|GuardStopped|BusyElsewhere|Defect)", text)
    assert text.count("\n@door(") == text.count("return await ending(")
