"""What shows of each flow without a run of it."""

import ast
import re
from pathlib import Path

import pytest

from retirement import flows
from retirement.config import SCHEDULED
from retirement.flows.deployments import OFFERS
from retirement.flows.kit import names
from tests.flows.every import FLOWS

from .source import ROOT, modules

#: Leases that are no job's: of a queue run, of what a digest sends at its end, and of a look whether the ledger writes.
OTHERS = {"queue", "letters", "doctor"}

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


def _leases() -> dict[str, set[str]]:
    """The leases that a module takes by a name that stands in it; that of a question has a number."""
    found: dict[str, set[str]] = {}
    for each in modules("retirement"):
        calls = [node for node in each.nodes if isinstance(node, ast.Call) and node.args]
        taken = [call.args[0] for call in calls if ast.unparse(call.func).endswith("leases.take")]
        if scopes := {scope.value for scope in taken if isinstance(scope, ast.Constant)}:
            found[each.name] = {str(scope) for scope in scopes} - OTHERS
    return found


def test_the_lease_of_a_job_is_the_one_that_its_work_takes() -> None:
    """With another name its run would be ended as crashed after ten minutes, and with none after six hours."""
    leases = _leases()
    jobs = {lease for lease in names.JOBS.values() if lease}

    assert set().union(*leases.values()) == jobs, "JOBS of retirement/flows/kit/names.py"
    for name, flow in FLOWS.items():
        (module,) = [each for each in modules("retirement") if each.name == name.partition(":")[0]]
        taken = set().union(*(leases.get(work, set()) for work in module.imports))
        assert taken == {lease for lease in [names.JOBS.get(flow.name)] if lease}, flow.name


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
