"""Settings of buckets of Amazon S3, or of a store that speaks its language: for reports, and for the archive."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from retirement.config.values import Address, Settings, Text


class BucketSettings(Settings):
    """Where a bucket is, who we are there, and how the store encrypts."""

    bucket: Text = Field(description="The bucket; only those may read it who may know the learners.")
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


class ArchiveSettings(BucketSettings):
    """The section `archive`: who the learners were, as the reference wrote it before the LMS forgets."""

    prefix: Text = Field(
        default="raw", description="What names of objects begin with; `raw` is where the reference's tables look."
    )
    expire_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        description="Days after which the cleanup deletes a file of the archive, such as `365`: it names learners."
    )
