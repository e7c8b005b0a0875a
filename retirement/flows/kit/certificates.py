"""The certificate of a learner as an artifact: a new version under the learner's key whenever it may have changed."""

from collections.abc import Iterable

from prefect.artifacts import acreate_markdown_artifact

from retirement.certificate import certificate_of, markdown
from retirement.ledger import Ledger
from retirement.ledger.extract import extract


async def show_certificates(ledger: Ledger, user_ids: Iterable[int]) -> None:
    """Leaves the certificates of these learners as they stand now."""
    for user_id in sorted(set(user_ids)):
        text = markdown(certificate_of(await extract(ledger, user_id)))
        await acreate_markdown_artifact(
            text,
            key=f"certificate-{user_id}",
            description=f"What was erased of learner {user_id}, and on what proof; `retirement certificate` checks it.",
        )
