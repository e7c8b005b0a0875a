"""Settings of the reports to course partners: which organisation belongs to which partner, and where files go."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from retirement.config.values import CHANNEL, Address, Settings, Text

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
    folder: Text = Field(description="Folder for the files, which name learners: close it to all others.")


class S3Settings(SinkSettings):
    """A bucket of Amazon S3, or of a store that speaks its language."""

    kind: Literal["s3"] = Field(description="`s3`: Amazon S3 or a store that speaks its language.")
    bucket: Text = Field(description="The bucket; only those may read it who may know the learners.")
    prefix: Text | None = Field(
        default=None, description="What all names of objects begin with; below it each partner has a prefix of its own."
    )
    endpoint_url: Address | None = Field(
        default=None, description="Address of a store that is not Amazon's; none: Amazon's."
    )
    allow_insecure: bool = Field(
        default=False, description="Permit an http:// endpoint that is not on this machine. For closed networks only."
    )
    region: Text | None = Field(default=None, description="Region of the bucket; none: what boto3 finds.")
    access_key_id: Text | None = Field(
        default=None, description="Access key; none: what boto3 finds, such as the role of the machine."
    )
    secret_access_key: SecretStr | None = Field(
        default=None, description="Secret of the access key: `${NAME}`, `file:PATH` or `block:NAME`."
    )
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] = Field(
        default="AES256", description="How the store has to encrypt each object; an object that is not is no delivery."
    )
    kms_key: Text | None = Field(default=None, description="Key of `aws:kms`; none: the bucket's own.")
    unencrypted: Text | None = Field(
        default=None, description="Why the store need not encrypt, such as `the disks are encrypted`; none: it has to."
    )


AnySink = FolderSettings | S3Settings
#: The settings of each kind of sink.
KINDS: dict[str, type[AnySink]] = {"folder": FolderSettings, "s3": S3Settings}


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
    default: Text | None = Field(
        default=None,
        description="Partner of the organisations that `partners.organisations` does not have; none: their reports "
        "wait, and each run says so.",
    )
    sinks: tuple[AnySink, ...] = Field(
        default=(), description="Where files are delivered, beside the folder `partner_reports`; each gets every file."
    )
