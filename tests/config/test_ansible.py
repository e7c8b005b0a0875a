"""The dialect of the Ansible role: its variables, its defaults, and what it cannot say."""

from .desk import ANSIBLE, Desk, line_of

ROLE_DEFAULTS = """\
retirement_service_home: "{{ COMMON_APP_DIR }}/retirement_service"
retirement_service_environment:
  PATH: '{{ retirement_service_venv_dir }}/bin:{{ ansible_env.PATH }}'
RETIREMENT_SERVICE_GIT_IDENTITY: !!null
RETIREMENT_SERVICE_GIT_REPOS:
  - PROTOCOL: "{{ COMMON_GIT_PROTOCOL }}"
    DESTINATION: "{{ retirement_service_app_dir }}"
RETIREMENT_SERVICE_COOL_OFF_DAYS: 5
RETIREMENT_SERVICE_ENABLE_CRON_JOB: false
RETIREMENT_SERVICE_CRON_JOB_HOURS: 0
RETIREMENT_SERVICE_CRON_JOB_MINUTES: 0
RETIREMENT_ECOMMERCE_BASE_BASE_URL: 'http://edx.devstack.ecommerce:18000'
RETIREMENT_CREDENTIALS_BASE_URL: 'http://edx.devstack.credentials:18000'
RETIREMENT_SERVICE_PIPELINE_CONFIGURATION:
  - {NAME: RETIRING_ENROLLMENTS, NAME_COMPLETE: ENROLLMENTS_COMPLETE, SERVICE: LMS, FUNCTION: retirement_unenroll}
  - {NAME: RETIRING_LMS, NAME_COMPLETE: LMS_COMPLETE, SERVICE: LMS, FUNCTION: retirement_lms_retire}
"""
STEP = "  - {NAME: RETIRING_LMS, NAME_COMPLETE: LMS_COMPLETE, SERVICE: LMS, FUNCTION: retirement_lms_retire}\n"


def test_the_variables_that_must_be_set_are_enough(desk: Desk) -> None:
    """The longest known cool-off, since another file of variables may have the site's; no schedule, three steps."""
    found = desk.load(ANSIBLE)

    assert (found.dialect, found.cool_off_days, found.schedule) == ("ansible", 30, None)
    assert found.unsaid == ("cool_off_days",)
    assert [step.operation for step in found.pipeline] == [
        "retirement_unenroll",
        "retirement_lms_retire_misc",
        "retirement_lms_retire",
    ]
    assert desk.warnings(ANSIBLE) == [
        (
            "retirement.yaml:1: RETIREMENT_SERVICE_PIPELINE_CONFIGURATION: is not given; "
            "the three steps of the role are used: enrollments, misc, account"
        ),
        (
            "retirement.yaml:1: RETIREMENT_SERVICE_COOL_OFF_DAYS: not in this file, as it may have stood on a command "
            "line; the most careful that is known is taken: 30; 30 days are the longest, Tutor's, where edx.org has "
            "14, the scripts 7 and the Ansible role 5. Write your own here, or give `retirement config import` "
            "--cool-off-days"
        ),
    ]


def test_the_defaults_of_the_role_load_with_their_templates(desk: Desk) -> None:
    """Templates in variables that nobody needs here are left alone, and so are unused http:// addresses."""
    found = desk.load(ROLE_DEFAULTS + ANSIBLE)

    assert ({"LMS"}, 2) == (set(found.services), len(found.pipeline))
    warnings = desk.warnings(ROLE_DEFAULTS + ANSIBLE)
    assert [int(line.split(":")[1]) for line in warnings] == [1, 5, 12, 13]
    assert warnings[0].endswith(
        "not used by this version: retirement_service_home, retirement_service_environment, "
        "RETIREMENT_SERVICE_GIT_IDENTITY"
    )


def test_repositories_are_answered_by_a_warning(desk: Desk) -> None:
    """Nothing is cloned and run; connectors are packages."""
    warnings = desk.warnings(ROLE_DEFAULTS + ANSIBLE)

    assert warnings[1] == (
        "retirement.yaml:5: RETIREMENT_SERVICE_GIT_REPOS: nothing is fetched or run from repositories; "
        "steps of your own come as installed connector packages"
    )


def test_the_cron_variables_become_a_schedule(desk: Desk) -> None:
    """Minutes and hours in cron's words; zero where they are not given."""
    switch = "RETIREMENT_SERVICE_ENABLE_CRON_JOB: 'yes'\n"
    times = "RETIREMENT_SERVICE_CRON_JOB_HOURS: '*/4'\nRETIREMENT_SERVICE_CRON_JOB_MINUTES: 30\n"

    assert desk.load(ANSIBLE + switch).schedule == "0 0 * * *"
    assert desk.load(ANSIBLE + switch + times).schedule == "30 */4 * * *"


def test_a_bad_cron_variable_is_told(desk: Desk) -> None:
    """An hour that no day has, and a switch that is neither."""
    text = ANSIBLE + "RETIREMENT_SERVICE_ENABLE_CRON_JOB: true\nRETIREMENT_SERVICE_CRON_JOB_HOURS: 24\n"

    assert desk.problems(text) == [
        (
            "retirement.yaml:6: RETIREMENT_SERVICE_CRON_JOB_MINUTES, RETIREMENT_SERVICE_CRON_JOB_HOURS: "
            "its field for the hour is no cron field from 0 to 23"
        )
    ]
    assert desk.problems(ANSIBLE + "RETIREMENT_SERVICE_ENABLE_CRON_JOB: perhaps\n") == [
        "retirement.yaml:5: RETIREMENT_SERVICE_ENABLE_CRON_JOB: must be true or false"
    ]


def test_the_states_of_the_edxapp_role_are_checked(desk: Desk) -> None:
    """The same file often holds what the LMS was given."""
    text = ANSIBLE + "EDXAPP_RETIREMENT_STATES: [PENDING, ERRORED, ABORTED, COMPLETE]\n"

    assert any("RETIRING_LMS is not in EDXAPP_RETIREMENT_STATES" in line for line in desk.problems(text))


def test_a_needed_template_is_told_with_its_line(desk: Desk) -> None:
    """The value that Ansible would put there is not ours to guess."""
    text = ANSIBLE.replace("https://courses.example.com", '"https://{{ EDXAPP_LMS_SITE_NAME }}"')

    assert desk.problems(text) == [
        "retirement.yaml:4: RETIREMENT_LMS_BASE_URL: is still a template ({{ … }}); give the value that it stands for"
    ]


def test_a_vault_secret_is_told(desk: Desk) -> None:
    """Ansible's password is not here to open it."""
    text = ANSIBLE.replace("${RETIREMENT_CLIENT_SECRET}", "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162")

    (problem,) = desk.problems(text)

    assert problem.startswith("retirement.yaml:3: RETIREMENT_SERVICE_EDX_OAUTH2_SECRET: is sealed by Ansible Vault")


def test_the_placeholders_of_the_role_are_told(desk: Desk) -> None:
    """They load in Ansible and fail at the LMS."""
    text = ANSIBLE.replace("retirement-worker", "PLEASE-SET-THIS-RETIREMENT-CLIENT-ID")

    assert desk.problems(text) == [
        (
            "retirement.yaml:2: RETIREMENT_SERVICE_EDX_OAUTH2_KEY: is still the placeholder of the role; "
            "give the LMS' own value, as create_dot_application prints it"
        )
    ]


def test_the_names_of_earlier_versions_of_the_role_are_known(desk: Desk) -> None:
    """Client id and secret have changed their names once."""
    text = ANSIBLE.replace("EDX_OAUTH2_KEY", "OAUTH_CLIENT_ID").replace("EDX_OAUTH2_SECRET", "OAUTH_CLIENT_SECRET")

    assert desk.load(text).lms.client_id == "retirement-worker"


def test_what_is_missing_is_called_by_its_variable(desk: Desk) -> None:
    """Also the address of a service that a step uses."""
    step = "  - {NAME: A, NAME_COMPLETE: A_COMPLETE, SERVICE: ECOMMERCE, FUNCTION: replace_usernames}\n"
    text = "RETIREMENT_SERVICE_PIPELINE_CONFIGURATION:\n" + step

    keys = [problem.split(": ")[:2] for problem in desk.problems(text)]

    assert sorted(keys) == [
        ["retirement.yaml:1", "RETIREMENT_LMS_BASE_URL"],
        ["retirement.yaml:1", "RETIREMENT_SERVICE_EDX_OAUTH2_KEY"],
        ["retirement.yaml:1", "RETIREMENT_SERVICE_EDX_OAUTH2_SECRET"],
        ["retirement.yaml:2", "RETIREMENT_ECOMMERCE_BASE_BASE_URL"],
    ]


def test_misspelt_variables_are_told_and_those_of_other_roles_left_alone(desk: Desk) -> None:
    """Such files hold the variables of the whole site, and what is not known never stops a run."""
    text = ANSIBLE + (
        "NGINX_PORT: 80\nEDXAPP_RETIRED_USER_SALTS: [x]\n"
        "RETIREMENT_SERVICE_COOLOFF_DAYS: 3\nRETIRMENT_LMS_BASE_URL: x\n"
        "RETIREMENT_WITHOUT_LIKENESS_TO_ANYTHING_ELSE: 1\n"
    )

    told = [line for line in desk.warnings(text) if "is no variable" in line]

    assert told[:2] == [
        (
            "retirement.yaml:7: RETIREMENT_SERVICE_COOLOFF_DAYS: is no variable of the role, and is not used; "
            "did you mean RETIREMENT_SERVICE_COOL_OFF_DAYS?"
        ),
        (
            "retirement.yaml:8: RETIRMENT_LMS_BASE_URL: is no variable of the role, and is not used; "
            "did you mean RETIREMENT_LMS_BASE_URL?"
        ),
    ]
    assert len(told) == 3
    assert desk.load(text).cool_off_days == 30


def test_a_step_has_four_keys(desk: Desk) -> None:
    """A misspelt one, a missing one, no mapping at all."""
    text = (
        ANSIBLE
        + "RETIREMENT_SERVICE_PIPELINE_CONFIGURATION:\n"
        + STEP
        + STEP.replace("FUNCTION", "FUNCTOIN")
        + "  - x\n"
    )
    place = line_of(text, "FUNCTOIN")

    assert [
        (
            f"retirement.yaml:{place}: RETIREMENT_SERVICE_PIPELINE_CONFIGURATION[1].FUNCTOIN: "
            "is no key here, and is not used; did you mean FUNCTION?"
        ),
        (
            f"retirement.yaml:{place}: RETIREMENT_SERVICE_PIPELINE_CONFIGURATION[1]: "
            "lacks FUNCTION; a step is a mapping of NAME, NAME_COMPLETE, SERVICE, FUNCTION"
        ),
        (
            f"retirement.yaml:{place + 1}: RETIREMENT_SERVICE_PIPELINE_CONFIGURATION[2]: "
            "lacks NAME, NAME_COMPLETE, SERVICE, FUNCTION; "
            "a step is a mapping of NAME, NAME_COMPLETE, SERVICE, FUNCTION"
        ),
    ] == desk.problems(text)


def test_a_pipeline_must_be_a_list(desk: Desk) -> None:
    """Anything else is told."""
    assert desk.problems(ANSIBLE + "RETIREMENT_SERVICE_PIPELINE_CONFIGURATION: x\n") == [
        "retirement.yaml:5: RETIREMENT_SERVICE_PIPELINE_CONFIGURATION: must be a list of steps"
    ]


def test_a_pipeline_that_the_role_would_not_set_up_is_told(desk: Desk) -> None:
    """The switch of the role is off, and somebody should know."""
    warnings = desk.warnings(ANSIBLE.replace("SETUP: true", "SETUP: false"))

    assert warnings[0].startswith("retirement.yaml:1: COMMON_RETIREMENT_SERVICE_SETUP: is off")
