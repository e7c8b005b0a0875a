"""Every predecessor's file: each shape that public files have loads, or one line says which command or file does.

The files in `predecessors/` are written anew after public ones: defaults of the Ansible role of several releases and
forks, samples and test files of the reference scripts of several years, files and templates of Tutor's plugin, files
as large sites' jobs have them, and what operators write by hand or take for a configuration.
"""

import shutil
from pathlib import Path

import pytest

from retirement.config import Answers, Configuration, as_own_dialect, describe, load
from retirement.errors import ConfigError

from .desk import ENVIRON

FILES = Path(__file__).parent / "predecessors"
#: Steps and days of cool-off of those that load as they are; 30 days are the longest that is known.
LOADS = {
    "by-hand-misspelt": (3, 30),
    "jenkins-later-release": (3, 14),
    "jenkins-stage": (14, 30),
    "role-2019-first-filled": (3, 5),
    "role-2019-worker-of-the-role-filled": (3, 5),
    "role-2023-filled": (3, 5),
    "role-of-a-fork": (3, 5),
    "role-rendered": (3, 30),
    "role-without-cool-off": (3, 30),
    "scripts-page": (4, 30),
    "tutor-0.0-bare": (4, 30),
    "tutor-0.0-everything": (8, 30),
    "tutor-3.3": (7, 30),
    "tutor-3.4": (5, 30),
    "tutor-3.4-bare": (3, 30),
    "tutor-config": (5, 21),
    "tutor-config-defaults": (3, 30),
}
#: Steps of those that load once `config import --add-misc` has put the misc step in.
NEEDS_MISC = {
    "by-hand-mailings-in-the-role": 4,
    "by-hand-mailings-last": 4,
    "by-hand-mailings-only": 4,
    "scripts-2018": 7,
    "scripts-2020": 8,
    "scripts-2022": 9,
    "tests-2018": 5,
    "tests-2019": 5,
    "tests-2019-segment": 5,
    "tests-2020": 5,
    "tests-2022": 5,
}
PLACEHOLDER = "EDX_OAUTH2_KEY: is still the placeholder of the role; give the LMS' own value, as create_dot_application"
FRAGMENT = "or what the role has written from it, `/edx/app/retirement_service/config.yml`"
OF_THE_LMS = "RETIREMENT_STATES: is a setting of the LMS, and this its file; give a configuration such as deployments/"
TEMPLATE = "Tutor's stands below `$(tutor config printroot)/env/plugins/retirement`"
ALLOW = "use https://, or write `allow_insecure: true` at the top level of the file"
MISSING_ID = "is missing; give it: OAuth client of the retirement worker, as `create_dot_application` prints it."
#: What is said of each of the others.
TOLD = {
    "appserver": MISSING_ID,
    "by-hand-doubled": ":12: cool_off_days: is given twice, first on line 11; keep one",
    "by-hand-locking": "learners are locked when they make their request, so remove the step",
    "by-hand-misspelt-secret": ":2: client_secrt: is no key here, and is not used; did you mean client_secret?",
    "by-hand-octal": ":11: cool_off_days: is an octal number to YAML (it begins with 0); write it in decimal digits",
    "by-hand-one-template": ":1: client_id: is still a template ({{ … }}); give the value that it stands for",
    "by-hand-two-dialects": "keep one dialect in a file",
    "by-hand-umlaut": ":4: base_urls.lms: has a host outside ASCII; write its punycode",
    "by-hand-vault": "is sealed by Ansible Vault, which is not opened here; give ${NAME} and set that variable",
    "common-switch": FRAGMENT,
    "edxapp-states": FRAGMENT,
    "edxapp-worker": FRAGMENT,
    "forum-behind-the-account": "which RETIRING_LMS destroys in LMS; let it end before RETIRING_LMS",
    "jenkins-braze-host": ":13: braze_instance: is the name of the instance alone",
    "jenkins-sailthru": "no connector serves SAILTHRU; services are",
    "jenkins-salesforce": "take the SALESFORCE step out, convert the file with `retirement config import`",
    "jenkins-segment-login": ":13: segment_email: belongs to a login that Segment has ended; give segment_auth_token",
    "jenkins-segment-path": ":7: base_urls.segment: has a path, which the calls bring themselves; write the address",
    "lms-settings": OF_THE_LMS,
    "lms-states-of-four": OF_THE_LMS,
    "pipeline-alone": MISSING_ID,
    "readme-lms-environment": OF_THE_LMS,
    "readme-repositories": FRAGMENT,
    "readme-steps": MISSING_ID,
    "role-2019-first": "OAUTH_CLIENT_ID: is still the placeholder of the role",
    "role-2019-worker-of-the-role": PLACEHOLDER,
    "role-2020": PLACEHOLDER,
    "role-2023": PLACEHOLDER,
    "role-template": TEMPLATE,
    "scripts-listing": "has no steps; give at least one, as deployments/examples have them",
    "scripts-usernames": "has no steps; give at least one, as deployments/examples have them",
    "scripts-without-an-address": ":10: base_urls.license_manager: is missing; give it: Base URL of the service",
    "tutor-3.4-http": ALLOW,
    "tutor-config-http": ALLOW,
    "tutor-config-without-plugin": "RETIREMENT_EDX_OAUTH2_CLIENT_SECRET: is missing; give it: Secret of that client",
    "tutor-template-0.0": TEMPLATE,
    "tutor-template-3.4": TEMPLATE,
}


def read(name: str, folder: Path, answers: Answers | None = None) -> Configuration:
    path = folder / f"{name}.yaml"
    shutil.copyfile(FILES / path.name, path)
    path.chmod(0o600)
    return load(path, environ=ENVIRON, answers=answers or Answers())


def refusal(name: str, folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read(name, folder)
    return [line.removeprefix(f"{folder}/{name}.yaml") for line in refused.value.args]


def test_every_file_has_its_place_here(capsys: pytest.CaptureFixture[str]) -> None:
    """None is in two places; the figures are printed."""
    names = sorted(path.stem for path in FILES.glob("*.yaml"))

    assert names == sorted([*LOADS, *NEEDS_MISC, *TOLD])
    with capsys.disabled():
        print(  # noqa: T201 - the count is part of what this test is for
            f"\npredecessors: {len(names)} shapes, {len(LOADS)} load, {len(NEEDS_MISC)} load with --add-misc, "
            f"{len(TOLD)} are told what to give instead"
        )


@pytest.mark.parametrize("name", LOADS)
def test_a_predecessor_loads(tmp_path: Path, name: str) -> None:
    """With its steps, and never with a shorter cool-off than any site is known to have."""
    found = read(name, tmp_path)

    assert (len(found.pipeline), found.cool_off_days) == LOADS[name]
    assert found.dialect != "own"


@pytest.mark.parametrize("name", [*LOADS, *NEEDS_MISC])
def test_a_predecessor_can_be_converted(tmp_path: Path, name: str) -> None:
    """What is written from it loads without a word about a command line, and means the same."""
    answers = Answers(cool_off_days=14, batch_size=50, threshold=60, add_misc=name in NEEDS_MISC)
    found = read(name, tmp_path, answers)
    text = as_own_dialect(found)
    names = {part.split("}")[0] for part in text.split("${")[1:]}
    (tmp_path / "own.yaml").write_text(text)

    again = load(tmp_path / "own.yaml", environ=dict.fromkeys(names, "s"))

    assert describe(again) == describe(found)
    assert (again.cool_off_days, again.queue.limit, again.queue.threshold) == (14, 50, 60)
    assert found.unsaid == again.unsaid == ()


@pytest.mark.parametrize("name", NEEDS_MISC)
def test_a_file_without_the_misc_step_is_repaired(tmp_path: Path, name: str) -> None:
    """The refusal names the command; the new step comes before the account step, with the states of both."""
    (told,) = refusal(name, tmp_path)

    found = read(name, tmp_path, Answers(add_misc=True))

    steps = [step.operation for step in found.pipeline]
    assert told.endswith("has to be in the pipeline: `retirement config import --add-misc` writes the file with it")
    assert steps.index("retirement_lms_retire_misc") == steps.index("retirement_lms_retire") - 1
    assert len(steps) == NEEDS_MISC[name]
    states = found.pipeline.lms_states
    assert (
        states.index("LMS_MISC_COMPLETE") == states.index("RETIRING_LMS_MISC") + 1 == states.index("RETIRING_LMS") - 1
    )
    assert found.lms.states is None or set(states) == set(found.lms.states)


@pytest.mark.parametrize("name", TOLD)
def test_another_file_is_told_what_to_give_instead(tmp_path: Path, name: str) -> None:
    """Each line names the place; one of them has the fix."""
    lines = refusal(name, tmp_path)

    assert any(TOLD[name] in line for line in lines)
    assert all("\n" not in line and line.split(":")[1].isdecimal() for line in lines)
