"""Steps behind a learner's row that no run has proved: another driver, or an operator, vouches for them."""

from datetime import timedelta

from retirement.pipeline import PENDING
from retirement.site.site import Site

#: Learners who were active within so many days are looked at; what is older is in the certificates.
RECENT_DAYS = 30


async def without_proof(site: Site) -> dict[str, list[int]]:
    """The user ids of learners by the step that the ledger does not prove, in the order of the pipeline.

    Rows of learners whose last run had another pipeline say nothing of today's steps. Raises `LedgerError`.
    """
    found: dict[str, list[int]] = {step.name: [] for step in site.pipeline}
    async for record in site.ledger.learners.each(since=site.ledger.now() - timedelta(days=RECENT_DAYS)):
        if record.pipeline == site.pipeline.digest:
            for step in site.pipeline.passed_at(record.state or PENDING):
                found[step] += [] if step in record.finished else [record.user_id]
    return {step: user_ids for step, user_ids in found.items() if user_ids}
