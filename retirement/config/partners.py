"""Settings of the reports to course partners: which organisation belongs to which partner, and where files go."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from retirement.config.buckets import BucketSettings
from retirement.config.values import CHANNEL, MAIL_ADDRESS, Address, Domain, MachinePath, Settings, Text

Age = Annotated[int, Field(ge=1, le=3650)]
Port = Annotated[int, Field(ge=1, le=65535)]
MailAddress = Annotated[str, StringConstraints(pattern=MAIL_ADDRESS)]
#: What a sink is called; it stands in receipts for ever.
SinkName = Annotated[str, StringConstraints(pattern=CHANNEL, max_length=40)]


class SinkSettings(Settings):
    """What every sink has."""

    name: SinkName = Field(
        description="What the sink is called in messages and receipts, such as `bucket`; keep it as long as files are "
        "there."
    )
    only: tuple[Text, ...] | None = Field(
        default=None, description="Partners whose files go to this sink; left out: all of them."
    )


class FolderSettings(SinkSettings):
    """A folder of this machine."""

    kind: Literal["folder"] = Field(description="`folder`: a folder of this machine.")
    folder: MachinePath = Field(description="Folder for the files, which name learners: close it to all others.")


class S3Settings(BucketSettings, SinkSettings):
    """A bucket of Amazon S3, or of a store that speaks its language."""

    kind: Literal["s3"] = Field(description="`s3`: Amazon S3 or a store that speaks its language.")
    prefix: Text | None = Field(
        default=None, description="What all names of objects begin with; below it each partner has a prefix of its own."
    )
    unencrypted: Text | None = Field(
        default=None, description="Why the store need not encrypt, such as `the disks are encrypted`; none: it has to."
    )


class SftpSettings(SinkSettings):
    """A folder of an SFTP server."""

    kind: Literal["sftp"] = Field(description="`sftp`: a folder of an SFTP server.")
    host: Text = Field(description="Name of the server.")
    port: Port = Field(default=22, description="Port of the server.")
    username: Text = Field(description="Account on the server.")
    host_key: Text = Field(
        description="Public key of the server, such as `ssh-ed25519 AAAA…`; a server with another one gets no file."
    )
    private_key: SecretStr | None = Field(
        default=None, description="Private key of the account, best as `file:PATH`; none: the password."
    )
    passphrase: SecretStr | None = Field(default=None, description="What the private key is encrypted with.")
    password: SecretStr | None = Field(default=None, description="Password of the account; none: the private key.")
    folder: Text = Field(description="Folder on the server, below which each partner gets a folder of its own.")
    file_mode: Literal["0600", "0640", "0644", "0660"] = Field(
        default="0600",
        description="Mode of the files on the server, in quotes; `0640` where partners read them as members of a "
        "group. A folder that is made for a partner can be entered by the same accounts.",
    )


class MailRecipient(Settings):
    """Who gets the mail of one partner, and the key that opens it."""

    to: tuple[MailAddress, ...] = Field(min_length=1, description="E-mail addresses of the partner.")
    age: Text | None = Field(
        default=None, description="Public key of the partner, as `age-keygen` prints it: `age1…`; the file is for it."
    )
    openpgp_file: MachinePath | None = Field(
        default=None, description="File with the OpenPGP public key of the partner, in the place of `age`."
    )
    allow_plain: Text | None = Field(
        default=None, description="Why the file may go unencrypted, such as `our own mail server`; none: it may not."
    )


class MailSettings(SinkSettings):
    """Messages to the partners."""

    kind: Literal["mail"] = Field(description="`mail`: messages to the partners.")
    host: Text = Field(description="Name of the mail server.")
    port: Port = Field(default=587, description="Port of the mail server.")
    tls: Literal["starttls", "tls"] = Field(
        default="starttls", description="`starttls`: TLS after the greeting (port 587); `tls`: from the start (465)."
    )
    ca_file: MachinePath | None = Field(
        default=None, description="File with the certificates that are trusted, in PEM; none: those of the machine."
    )
    username: Text | None = Field(default=None, description="Account on the mail server; none: no sign-in.")
    password: SecretStr | None = Field(default=None, description="Password of the account.")
    sender: MailAddress = Field(description="E-mail address that the messages are from.")
    recipients: dict[Text, MailRecipient] = Field(
        description="Recipients by partner, such as `{Partner One: {to: [dpo@one.example], age: age1…}}`."
    )


class DriveSettings(SinkSettings):
    """Folders in Google Drive."""

    kind: Literal["drive"] = Field(description="`drive`: a folder of Google Drive, best on a shared drive.")
    folder: Text = Field(description="Id of the folder below which each partner has a folder of its own name.")
    key_file: MachinePath = Field(description="File with the key of the service account, in JSON, as Google gives it.")
    comments: bool = Field(
        default=True, description="Tell the people who have access to the partner's folder by a comment on the file."
    )
    denied_domains: tuple[Domain, ...] = Field(
        default=(), description="E-mail domains whose people are not told, with their subdomains; usually your own."
    )
    url: Address = Field(default="https://www.googleapis.com", description="Address of Google's APIs.")
    allow_insecure: bool = Field(
        default=False, description="Permit an http:// address that is not on this machine. For closed networks only."
    )


#: The columns of a report.
Heading = Literal[
    "user_id", "original_username", "original_email", "original_name", "deletion_completed", "student_id", "created",
    "organisation",
]  # fmt: skip
AnySink = FolderSettings | S3Settings | SftpSettings | MailSettings | DriveSettings
#: The settings of each kind of sink.
KINDS: dict[str, type[AnySink]] = {
    "folder": FolderSettings,
    "s3": S3Settings,
    "sftp": SftpSettings,
    "mail": MailSettings,
    "drive": DriveSettings,
}


class PartnerSettings(Settings):
    """The section `partners`."""

    platform: Text | None = Field(
        default=None, description="Name of the site in the names of files; none: the host of the LMS."
    )
    organisations: dict[Text, tuple[Text, ...]] | None = Field(
        default=None,
        description="Partners of each organisation, such as `{OrgA: [Partner One]}`; left out: each organisation is a "
        "partner of its own name.",
    )
    headings: dict[Text, tuple[Heading, ...]] = Field(
        default_factory=dict,
        description="Columns of organisations that want others than usual, such as `{OrgA: [user_id, "
        "original_email]}`; the organisation stands last in any case.",
    )
    default: Text | None = Field(
        default=None,
        description="Partner of the organisations that `partners.organisations` does not have; none: their reports "
        "wait, and each run says so.",
    )
    expire_days: Age | None = Field(
        default=None, description="Days after which `expire-reports` deletes a delivered file; none: only its `--days`."
    )
    warn_days: Annotated[int, Field(ge=0, le=365)] = Field(
        default=7,
        description="Days before, on which the partner is told; no file is deleted without that; 0: none.",
    )
    sinks: tuple[AnySink, ...] = Field(
        default=(), description="Where files are delivered, beside the folder `partner_reports`; each gets every file."
    )
