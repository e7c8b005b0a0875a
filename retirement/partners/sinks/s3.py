"""A bucket as a sink: each partner has a prefix, and each object is read back."""

from retirement.config.partners import S3Settings
from retirement.partners.sinks.kit import StoreSink
from retirement.site.bucket import Bucket


def s3_sink(settings: S3Settings) -> StoreSink:
    """A bucket in which each partner has a prefix."""
    place = f"s3://{settings.bucket}/{settings.prefix or ''}"
    if settings.endpoint_url:
        place = f"{place} at {settings.endpoint_url}"
    return StoreSink(
        settings.name, place, Bucket(settings, f"partners.sinks {settings.name}"), by_partner=True, only=settings.only
    )
