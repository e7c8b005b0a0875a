"""The certificate of a learner as an artifact: a new version under the learner's key whenever it has changed.

What the ledger says is the measure, whichever act has entered it: a certificate that shows every entry it quotes, and
comes to the same, is left as it is. How far the ledger was looked through is kept in a variable of the server, so that
what was done without this server, or by a run that died, is made up for by the next run that looks.
"""

from collections.abc import Iterable

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.exceptions import ObjectAlreadyExists
from prefect.variables import Variable

from retirement.certificate import Certificate, certificate_of, markdown
from retirement.ledger import Ledger
from retirement.ledger.extract import changed_since, extract
from retirement.process import in_parts

#: Begins the name of the variable; the hash of the ledger's first entry ends it, since sites may share a server.
VARIABLE = "retirement_certificates_"
#: Most certificates that are compared at once.
_PAGE = 50


async def show_certificates(ledger: Ledger, user_ids: Iterable[int]) -> None:
    """Leaves the certificates of these learners as they stand now, where the newest version says something else."""
    for page in in_parts(sorted(set(user_ids)), _PAGE):
        shown = await _shown(page)
        for user_id in page:
            issued = certificate_of(await extract(ledger, user_id))
            if not _says_all(shown.get(_key(user_id), ""), issued):
                await _show(issued)


async def show_new(ledger: Ledger, user_id: int) -> None:
    """Leaves the certificate of a learner of whom something was just erased: no version can say that already."""
    await _show(certificate_of(await extract(ledger, user_id)))


async def show_changed(ledger: Ledger, since: int) -> None:
    """Leaves the certificates that entries after the one of number `since` have changed."""
    await show_certificates(ledger, await changed_since(ledger, since))


async def keep_up(ledger: Ledger) -> None:
    """Leaves the certificates that have changed since a run on this server has looked last."""
    head, first = await ledger.events.head(), await ledger.events.find(limit=1)
    if not first:
        return
    name = f"{VARIABLE}{first[0].hash[:12]}"
    seen = await Variable.aget(name, default=0)
    await show_changed(ledger, int(str(seen)))
    if seen != head.seq:
        await _keep(name, head.seq)


async def _keep(name: str, seq: int) -> None:
    try:
        await Variable.aset(name, seq, overwrite=True)
    except ObjectAlreadyExists:
        # Another run has looked for the first time as well, and made it since; now there is one to change.
        await Variable.aset(name, seq, overwrite=True)


def _key(user_id: int) -> str:
    return f"certificate-{user_id}"


async def _shown(user_ids: Iterable[int]) -> dict[str, str]:
    """The newest version of each of these certificates, by its key."""
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=list(map(_key, user_ids))))
    async with get_client() as client:
        found = await client.read_latest_artifacts(artifact_filter=wanted, limit=_PAGE)
    return {str(each.key): str(each.data) for each in found}


def _says_all(text: str, issued: Certificate) -> bool:
    """Whether a version has every entry that the certificate quotes, and says the same at its top.

    A hash is of one entry alone; the day on which a hold is over has none.
    """
    top, _, _ = markdown(issued).partition("\n\n##")
    return text.startswith(top) and all(each["hash"] in text for each in issued["proof"]["entries"])


async def _show(issued: Certificate) -> None:
    user_id = issued["user_id"]
    await acreate_markdown_artifact(
        markdown(issued),
        key=_key(user_id),
        description=f"What was erased of learner {user_id}, and on what proof; `retirement certificate` checks it.",
    )
