"""What a failed learner's run says beside the reason: what the LMS has, what to do, and a link that does it."""

import json
from contextlib import suppress
from urllib.parse import quote

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from retirement.pipeline.endings import Report
from retirement.privacy import as_markdown

#: In the message of the state, after the reason.
WHAT_TO_DO = "the LMS has the learner in ERRORED: fix the cause, then start the deployment redrive"
#: The deployment of `serve`, then that of `prefect.yaml`.
_NAMES = ("redrive/redrive-here", "redrive/redrive")


async def show_help(report: Report) -> None:
    """Leaves an artifact beside the run: the reason, and a link to the redrive's form with the learner filled in."""
    address = await _form(report.user_id)
    link = f"[start the redrive of learner {report.user_id}]({address})" if address else "start the deployment redrive"
    lines = [
        f"**{as_markdown(report.reason, code=True)}**",
        "",
        "- The LMS has the learner in ERRORED; the steps before are proved in the ledger and are not done again.",
        "- No later run takes the learner until the row is brought back.",
        f"- Once the cause is gone: {link}, look at what it shows, and run it with `dry_run` off.",
        "- The next queue run then goes on where this one stopped.",
    ]
    await acreate_markdown_artifact("\n".join(lines), key=f"help-{report.user_id}", description="What to do.")


async def _form(user_id: int) -> str | None:
    """The address of the form, None where the server has no such deployment, or its UI no address."""
    ui = get_current_settings().ui_url
    async with get_client() as client:
        for name in _NAMES if ui else ():
            with suppress(ObjectNotFound):
                deployment = (await client.read_deployment_by_name(name)).id
                given = quote(json.dumps({"user_id": user_id}))
                return f"{ui}/deployments/deployment/{deployment}/run?parameters={given}"
    return None
