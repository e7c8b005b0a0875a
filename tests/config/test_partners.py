"""The section of the partners: what it means, and one line for what is wrong with it."""

import pytest

from retirement.config import as_own_dialect, describe, load
from retirement.config.partners import FolderSettings, MailSettings, PartnerSettings, S3Settings

from .desk import ENVIRON, OWN, Desk

END = OWN.count("\n") + 1
BUCKET = "name: bucket, kind: s3, bucket: reports"


def test_without_the_section_there_is_a_folder_only(desk: Desk) -> None:
    """As in files of earlier releases."""
    found = desk.load(OWN + "partner_reports: out\n")

    assert (found.partners, found.partner_reports) == (PartnerSettings(), str(desk.folder / "out"))
    assert "partners" not in describe(found)
    assert desk.load(OWN + "partners:\n").partners == PartnerSettings()


def test_the_files_of_a_mail_sink_start_at_the_folder_too(desk: Desk) -> None:
    """Recipients are by partner."""
    recipients = "{Partner One: {to: [dpo@one.example], age: age1x}, Two: {to: [b@x.example], openpgp_file: two.asc}}"
    mail = f"name: mail, kind: mail, host: m.example, ca_file: ca.pem, sender: r@x.example, recipients: {recipients}"

    found = desk.load(OWN + f"partners: {{sinks: [{{{mail}}}]}}\n")

    (sink,) = found.partners.sinks
    assert isinstance(sink, MailSettings)
    assert sink.ca_file == str(desk.folder / "ca.pem")
    assert sink.recipients["Two"].openpgp_file == str(desk.folder / "two.asc")
    assert (sink.port, sink.recipients["Partner One"].to) == (587, ("dpo@one.example",))
    desk.path.write_text(as_own_dialect(found))
    assert load(desk.path, environ=ENVIRON).partners == found.partners


def test_sinks_and_partners_are_read_and_written_back(desk: Desk) -> None:
    """A path starts at the folder of the file; the variable of a secret is named after its sink."""
    text = (
        "partners:\n  organisations: {OrgA: [One, Two], 2U: [One]}\n  default: Two\n  sinks:\n"
        "    - {name: files, kind: folder, folder: out, only: [One]}\n"
        f"    - {{{BUCKET}, access_key_id: key, secret_access_key: hunter2-key, kms_key: k, sse: 'aws:kms'}}\n"
    )

    found = desk.load(OWN + text)
    shown, converted = describe(found), as_own_dialect(found)

    assert found.partners.organisations == {"OrgA": ("One", "Two"), "2U": ("One",)}
    folder, bucket = found.partners.sinks
    assert isinstance(folder, FolderSettings)
    assert (folder.folder, folder.only) == (str(desk.folder / "out"), ("One",))
    assert isinstance(bucket, S3Settings)
    assert shown["partners"]["sinks"][1]["secret_access_key"] == "**********"
    assert "hunter2-key" not in f"{found!r}{shown}{converted}"
    desk.path.write_text(converted)
    again = load(desk.path, environ={**ENVIRON, "RETIREMENT_BUCKET_SECRET_ACCESS_KEY": "hunter2-key"})
    assert again.partners == found.partners


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("partners: 5\n", "partners: must be a mapping of keys and values"),
        ("partners: {sink: []}\n", "partners.sink: is no key here; did you mean sinks?"),
        ("partners: {sinks: {}}\n", "partners.sinks: must be a list of sinks, such as"),
        ("partners: {sinks: [5]}\n", "partners.sinks[0]: must be a mapping of keys and values"),
        (
            "partners: {sinks: [{name: x, kind: s4}]}\n",
            "partners.sinks[0].kind: must be one of folder, s3, sftp, mail, drive",
        ),
        ("partners: {sinks: [{name: x}]}\n", "partners.sinks[0]: must be one of folder, s3, sftp, mail, drive"),
        ("partners: {sinks: [{name: x, kind: s3}]}\n", "partners.sinks[0].bucket: is missing; give it: The bucket"),
        (f"partners: {{sinks: [{{{BUCKET}, sse: rot13}}]}}\n", "partners.sinks[0].sse: must be one of 'AES256'"),
        (
            f"partners: {{sinks: [{{{BUCKET}, endpoint_url: 'http://s3.example.com'}}]}}\n",
            "partners.sinks[0].endpoint_url: is http:// to another machine",
        ),
        (f"partners: {{sinks: [{{{BUCKET}}}, {{{BUCKET}}}]}}\n", "sinks[1].name: is the name of another sink too"),
        (
            "partners: {sinks: [{name: reports, kind: folder, folder: x}]}\n",
            "partners.sinks[0].name: is the name of the folder partner_reports too; give each its own",
        ),
        (
            "partners: {sinks: [{name: m, kind: mail, host: h, sender: me, recipients: {}}]}\n",
            "partners.sinks[0].sender: is no e-mail address, such as dpo@example.com",
        ),
        ("partners: {expire_days: 7}\n", "partners.expire_days: partners.warn_days must be less than"),
        ("partners: {expire_days: 9, warn_days: 9}\n", "partners.warn_days: partners.warn_days must be less than"),
        ("partners: {headings: {OrgA: [user_id, shoe]}}\n", "partners.headings.OrgA[1]: must be one of 'user_id'"),
        ("partners: {organisations: {OrgA: One}}\n", "partners.organisations.OrgA: must be a list"),
    ],
)
def test_what_is_wrong_is_one_line(desk: Desk, text: str, problem: str) -> None:
    """With its line and its key."""
    (line,) = desk.problems(OWN + text)

    assert line.startswith(f"retirement.yaml:{END}: ")
    assert problem in line
