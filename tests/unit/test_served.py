"""The configuration of a run is the serving process' own: its path, its file, and no parameter."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from retirement.errors import ConfigError
from retirement.flows.deployments import OFFERS, Offer
from retirement.flows.kit import held_port
from retirement.flows.kit.own_file import require_own
from retirement.flows.kit.served import CONFIG, PORT, served_path

OTHER = 65_534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "retirement.yaml"
    found.write_text("", encoding="utf-8")
    found.chmod(0o600)
    return found


def words(schema: Any) -> str:
    """What a form says of a parameter: name, formats and description."""
    return str(schema).lower()


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)
def test_no_parameter_of_a_flow_is_a_path(offer: Offer) -> None:
    """A new one that is fails here; every parameter that a form lacks is refused by the server."""
    form = offer.form
    names = {"config", "configuration", "output", "file", "folder", "path", "url", "secret_block", "command"}

    assert form["additionalProperties"] is False
    assert not names & form["properties"].keys()
    for name, each in form["properties"].items():
        assert not [word for word in ("path", "file", "folder", "url", "address") if word in words(each)], name


@pytest.mark.parametrize("named", ["", "retirement.yaml", "./retirement.yaml"])
def test_a_run_starts_with_an_absolute_path_only(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """The folder in which a run starts may be chosen by who starts it."""
    monkeypatch.setenv(CONFIG, named)

    with pytest.raises(ConfigError, match="RETIREMENT_CONFIG: set it to an absolute path"):
        served_path()


def test_a_run_holds_the_port_of_the_server_for_itself(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """It may go on when `serve` and the server were killed, and would give the credential to who has the port then."""
    monkeypatch.setenv(CONFIG, str(file))
    ours = held_port.hold()
    monkeypatch.setenv(PORT, str(ours))
    served_path()
    served_path()
    held_port.let_go(ours)  # as `serve` does when it is killed
    with pytest.raises(OSError, match="in use"), socket.create_server(("127.0.0.1", ours)):
        pass
    held_port.let_go(ours)  # as the run does when it ends

    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv(PORT, str(other.getsockname()[1]))
        with pytest.raises(ConfigError, match="another program has port"):
            served_path()


def test_a_file_of_our_own_is_taken(file: Path) -> None:
    """By a link as well."""
    link = file.with_name("link.yaml")
    link.symlink_to(file)

    require_own(file)
    require_own(link)
    require_own(file.with_name("missing.yaml"))


@pytest.mark.parametrize("part", ["file", "folder"])
def test_what_every_account_can_write_is_refused(file: Path, part: str) -> None:
    """Who can write the folder puts another file in its place."""
    place = file if part == "file" else file.parent
    place.chmod(0o777)

    with pytest.raises(ConfigError, match="can be written by every account"):
        require_own(file)


def test_a_link_in_a_folder_of_others_is_refused(file: Path, tmp_path: Path) -> None:
    """The folder of the link counts as that of the file."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o777)
    link = theirs / "retirement.yaml"
    link.symlink_to(file)

    with pytest.raises(ConfigError, match="theirs can be written by every account"):
        require_own(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_another_account_is_refused(file: Path) -> None:
    """Its owner changes it at will."""
    os.chown(file, OTHER, -1)

    with pytest.raises(ConfigError, match="belongs to "):
        require_own(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to any group")
def test_a_group_without_others_in_it_may_write(file: Path) -> None:
    """As the private group has it that many systems give each account."""
    file.chmod(0o660)
    require_own(file)
    os.chown(file, -1, OTHER)
    with pytest.raises(ConfigError, match="by their group"):
        require_own(file)
