"""The dialect of the reference scripts: their files load as they are."""

import pytest

from retirement.config.partners import DriveSettings
from retirement.connectors import registry
from retirement.errors import ConfigError

from .desk import TUBULAR, UNSAID, Desk, line_of

#: Services of Open edX itself; every other one is a vendor's.
OPEN_EDX = ("CREDENTIALS", "DISCOVERY", "ECOMMERCE", "LICENSE_MANAGER", "LMS")

DOCUMENTED_SAMPLE = """\
client_id: <client ID for the retirement service user>
client_secret: <client secret for the retirement service user>

base_urls:
    lms: https://courses.example.com/
    ecommerce: https://ecommerce.example.com/
    credentials: https://credentials.example.com/

retirement_pipeline:
    - ['RETIRING_EMAIL_LISTS', 'EMAIL_LISTS_COMPLETE', 'LMS', 'retirement_retire_mailings']
    - ['RETIRING_ENROLLMENTS', 'ENROLLMENTS_COMPLETE', 'LMS', 'retirement_unenroll']
    - ['RETIRING_LMS_MISC', 'LMS_MISC_COMPLETE', 'LMS', 'retirement_lms_retire_misc']
    - ['RETIRING_LMS', 'LMS_COMPLETE', 'LMS', 'retirement_lms_retire']
"""
ALL_KEYS = """\
fetch_ecommerce_segment_id: true
braze_api_key: k
braze_instance: i
amplitude_api_key: k
amplitude_secret_key: k
salesforce_user: u
salesforce_password: p
salesforce_token: t
salesforce_domain: d
salesforce_assignee: a
segment_auth_token: t
segment_workspace_slug: s
hubspot_api_key: k
hubspot_aws_region: r
hubspot_from_address: a
hubspot_alert_email: a
sailthru_key: k
sailthru_secret: s
partner_report_platform_name: p
org_partner_mapping: {org1: ['TéstX'], org3: [Org3X, Org4X]}
drive_partners_folder: f
denied_notification_domains: !!set {'@example.com': null}
s3_archive: {bucket_name: b, region: r}
"""


def test_the_documented_sample_loads(desk: Desk) -> None:
    """The one of the driver's set-up page, where mailings come first and do nothing by themselves."""
    found = desk.load(DOCUMENTED_SAMPLE)

    assert (found.dialect, found.cool_off_days, len(found.pipeline)) == ("tubular", 30, 4)
    assert {"LMS", "ECOMMERCE", "CREDENTIALS"} == set(found.services)
    assert desk.warnings(DOCUMENTED_SAMPLE) == [
        UNSAID,
        (
            "retirement.yaml:10: retirement_pipeline[0][3]: retirement_retire_mailings does nothing by itself any "
            "more; retirement_lms_retire_misc does its work, so the step may go"
        ),
    ]


def test_every_key_of_the_scripts_is_known_and_one_warning_lists_the_unused(desk: Desk) -> None:
    """Vendors without a connector, partner reports and the archive."""
    desk.connectors = {name: registry()[name] for name in OPEN_EDX}

    (unsaid, warning) = desk.warnings(TUBULAR + ALL_KEYS)

    assert unsaid == UNSAID

    assert warning.startswith("retirement.yaml:9: fetch_ecommerce_segment_id: not used by this version: ")
    for line in ALL_KEYS.splitlines():
        assert line.partition(":")[0] in warning


def test_base_urls_of_services_without_connector_are_listed_too(desk: Desk) -> None:
    """What nobody calls needs no connector."""
    desk.connectors = {name: registry()[name] for name in OPEN_EDX}
    text = TUBULAR.replace("base_urls:\n", "base_urls:\n    segment: https://s.example.com\n    demographics: x\n")

    assert desk.warnings(text) == [
        UNSAID,
        ("retirement.yaml:4: base_urls.segment: not used by this version: base_urls.segment, base_urls.demographics"),
    ]


def test_options_of_the_command_line_may_stand_in_the_file(desk: Desk) -> None:
    """The scripts take them as options; here they are keys of the same names."""
    text = TUBULAR + "cool_off_days: 14\nmax_user_batch_size: 50\nuser_count_error_threshold: 60\n"

    found = desk.load(text)

    assert (found.cool_off_days, found.queue.limit, found.queue.threshold) == (14, 50, 60)


def test_an_empty_base_url_is_none(desk: Desk) -> None:
    """As the scripts read it: a service that is not there."""
    assert {"LMS"} == set(desk.load(TUBULAR.replace("https://credentials.example.com/", "")).services)


def test_an_unused_address_never_stops_a_run(desk: Desk) -> None:
    """An http:// address that no step uses is left out with a warning."""
    text = TUBULAR.replace("https://credentials", "http://credentials")

    (unsaid, warning) = desk.warnings(text)

    assert unsaid == UNSAID

    assert warning.startswith("retirement.yaml:5: base_urls.credentials: is http:// to another machine")
    assert warning.endswith("no step uses CREDENTIALS, so it is left out")
    assert {"LMS"} == set(desk.load(text).services)


def test_http_is_permitted_by_a_line_of_its_own(desk: Desk) -> None:
    """For sites on a closed network, whose files cannot say it in the original dialect."""
    text = TUBULAR.replace("https://", "http://")

    (problem,) = desk.problems(text)
    found = desk.load(text + "allow_insecure: true\n")

    assert problem.endswith("use https://, or write `allow_insecure: true` at the top level of the file")
    assert [settings.allow_insecure for settings in found.services.values()] == [True, True]


def test_a_misspelt_key_is_named(desk: Desk) -> None:
    """At the top level and among the base URLs; it never stops a run, since it may be of another release."""
    text = TUBULAR.replace("    credentials:", "    credentails:") + "max_user_batchsize: 3\n"

    assert desk.warnings(text) == [
        UNSAID,
        "retirement.yaml:5: base_urls.credentails: is no service here, and is not used; did you mean credentials?",
        "retirement.yaml:9: max_user_batchsize: is no key here, and is not used; did you mean max_user_batch_size?",
    ]


def test_a_row_that_is_not_of_four_is_named(desk: Desk) -> None:
    """Three, five, or no list at all."""
    rows = "    - [A, B_COMPLETE, LMS]\n    - [C, D_COMPLETE, LMS, retirement_unenroll, E]\n    - retirement_unenroll\n"
    text = TUBULAR.partition("    - ")[0] + rows

    assert desk.problems(text) == [
        "retirement.yaml:7: retirement_pipeline[0]: has 3 entries, not four: [START, END, SERVICE, OPERATION]",
        "retirement.yaml:8: retirement_pipeline[1]: has 5 entries, not four: [START, END, SERVICE, OPERATION]",
        "retirement.yaml:9: retirement_pipeline[2]: must be a row of four: [START, END, SERVICE, OPERATION]",
    ]


def test_a_step_of_a_service_without_connector_names_those_that_exist(desk: Desk) -> None:
    """Nobody finds out at night that Sailthru was never called."""
    text = (
        TUBULAR + "    - ['RETIRING_MAIL', 'MAIL_COMPLETE', 'SAILTHRU', 'delete_user']\nsailthru_key: key-of-sailthru\n"
    )

    (problem,) = desk.problems(text)

    assert problem == (
        "retirement.yaml:9: retirement_pipeline[2][2]: no connector serves SAILTHRU; "
        f"services are {', '.join(registry())}"
    )


def test_what_is_missing_is_called_by_its_own_name(desk: Desk) -> None:
    """`client_id`, not `lms.client_id`; and all of it at once."""
    row = "    - ['RETIRING_ECOM', 'ECOM_COMPLETE', 'ECOMMERCE', 'replace_usernames']\n"
    text = "base_urls: {}\nretirement_pipeline:\n" + row

    keys = [problem.split(": ")[:2] for problem in desk.problems(text)]

    assert sorted(keys) == [
        ["retirement.yaml:1", "base_urls.lms"],
        ["retirement.yaml:1", "client_id"],
        ["retirement.yaml:1", "client_secret"],
        ["retirement.yaml:3", "base_urls.ecommerce"],
    ]


def test_base_urls_must_be_a_mapping(desk: Desk) -> None:
    """One URL alone does not say of what."""
    text = TUBULAR.partition("base_urls:")[0] + "base_urls: https://x.example.com\nretirement_pipeline: []\n"

    assert (
        "retirement.yaml:3: base_urls: must be a mapping of services to URLs, such as `lms: https://…`"
        in desk.problems(text)
    )


def test_mailings_alone_are_an_error(desk: Desk) -> None:
    """Without the step that does their work they would be a step that erases nothing."""
    text = DOCUMENTED_SAMPLE.replace("retirement_lms_retire_misc", "retirement_retire_notes")

    assert [
        (
            f"retirement.yaml:{line_of(text, 'retirement_retire_mailings')}: retirement_pipeline[0][3]: "
            "retirement_retire_mailings does nothing by itself any more; "
            "retirement_lms_retire_misc does its work and has to be in the pipeline: "
            "`retirement config import --add-misc` writes the file with it"
        )
    ] == desk.problems(text)


def test_a_template_that_nobody_rendered_is_told(desk: Desk) -> None:
    """The tutor plugin's own template, quoted and not."""
    quoted = TUBULAR.replace("retirement-worker", "'{{ RETIREMENT_EDX_OAUTH2_CLIENT_ID }}'")
    plain = TUBULAR.replace("retirement-worker", "{{ RETIREMENT_EDX_OAUTH2_CLIENT_ID }}")

    assert desk.problems(quoted) == [
        "retirement.yaml:1: client_id: is still a template ({{ … }}); give the value that it stands for"
    ]
    assert (
        "retirement.yaml:1: client_id: a key must be plain text; "
        "a template ({{ … }}) has to be rendered, or quoted, first" in desk.problems(plain)
    )


def test_the_partners_folders_in_drive_are_a_sink(desk: Desk) -> None:
    """With the key that stood on a command line; a set of domains, each with its @, and a partner that is no list."""
    text = TUBULAR + (
        "partner_report_platform_name: campus\norg_partner_mapping: {OrgOne: 'UniversitéX', OrgTwo: [TwoX, ThreeX]}\n"
        "drive_partners_folder: folder-of-partners\ngoogle_secrets_file: key.json\n"
        "denied_notification_domains: !!set {'@campus.example': null, '@robots.example': null}\n"
    )

    found = desk.load(text).partners

    assert (found.platform, found.organisations) == (
        "campus",
        {"OrgOne": ("UniversitéX",), "OrgTwo": ("TwoX", "ThreeX")},
    )
    (sink,) = found.sinks
    assert isinstance(sink, DriveSettings)
    assert (sink.folder, sink.key_file) == ("folder-of-partners", str(desk.folder / "key.json"))
    assert sink.denied_domains == ("campus.example", "robots.example")
    assert desk.warnings(text) == [UNSAID]
    older = text.replace("denied_", "blacklisted_")
    assert desk.load(older).partners == found
    (problem,) = desk.problems(text.replace("@robots.example", "@no domain"))
    assert problem.startswith("retirement.yaml:13: denied_notification_domains.")
    assert "is no domain; write what stands after the @" in problem


def test_headings_of_organisations_are_those_of_the_partners(desk: Desk) -> None:
    """The list of the reference; a heading that is none is one line."""
    text = TUBULAR + "drive_partners_folder: f\ngoogle_secrets_file: key.json\norg_partner_mapping: {A: [One]}\n"
    given = "orgs_config: [{{org: A, field_headings: [user_id, {}]}}]\n"

    assert desk.load(text + given.format("student_id")).partners.headings == {"A": ("user_id", "student_id")}
    with pytest.raises(ConfigError) as refused:
        desk.load(text + given.format("shoe"))
    assert any("must be one of 'user_id'" in line and "orgs_config" in line for line in refused.value.args)
