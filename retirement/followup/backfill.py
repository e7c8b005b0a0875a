"""Does a step that was added to the pipeline for exactly those learners who went through without it."""

from retirement.errors import ConfigError
from retirement.followup.late_steps import Lack, LateSteps, rows_of
from retirement.site import Site


async def lacking(site: Site, name: str | None, *, prefix: str = "") -> LateSteps:
    """The retired learners without a proof of the step of this name. Changes nothing.

    A second run finds those who are left. Raises `ConfigError` for an unknown step; `prefix` stands before the name
    of the field, as `--` in a command.
    """
    names = [step.name for step in site.pipeline]
    if name is not None and name not in names:
        raise ConfigError(f"{prefix}step: {name} is no step; steps are {', '.join(names)}")
    steps = tuple(step for step in site.pipeline if step.name == name)
    found = await site.ledger.learners.find() if steps else []
    records = [each for each in found if each.retired_at and name not in each.finished]
    rows = await rows_of(site, records)
    lacks = [Lack(each, rows.get((each.user_id, each.retirement_id)), steps) for each in records]
    sentence = f"learners went through without {name}, which is done for them now"
    return LateSteps(site, site.batch(), "backfill", sentence, {"step": name}, lacks)
