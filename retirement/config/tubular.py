"""The configuration file of the reference scripts: tubular, `scripts/user_retirement`, the tutor plugin.

Keys are those that the scripts read; those that went into the command line there may stand in the file here.
"""

from retirement.config.document import Node
from retirement.config.draft import Draft, moved, renamed
from retirement.config.problems import Problems, nearest, shown

SIGNATURE = ("client_id", "client_secret", "base_urls", "retirement_pipeline")

_QUEUE = {"max_user_batch_size": "limit", "user_count_error_threshold": "threshold"}
_OURS = ("allow_insecure", "cool_off_days", *_QUEUE)
_NO_CONNECTOR_PREFIXES = ("amplitude_", "braze_", "hubspot_", "salesforce_", "sailthru_", "segment_")
#: Partner reports, the archive and look-ups of the scripts.
_NO_USE_YET = (
    "denied_notification_domains",
    "drive_partners_folder",
    "fetch_ecommerce_segment_id",
    "google_secrets_file",
    "org_partner_mapping",
    "partner_report_platform_name",
    "s3_archive",
)
_NO_USE_PREFIXES = (*_NO_CONNECTOR_PREFIXES, "drive_", "partner_")
#: Services that reference files name and no connector of ours serves.
UNSERVED = ("AMPLITUDE", "BRAZE", "DEMOGRAPHICS", "HUBSPOT", "NOTES", "SAILTHRU", "SALESFORCE", "SEGMENT")

_STEP = ("start", "end", "service", "operation")
_NAMES = {
    "lms.url": "base_urls.lms",
    "lms.client_id": "client_id",
    "lms.client_secret": "client_secret",
    "pipeline": "retirement_pipeline",
}


def draft(root: Node, problems: Problems, services: frozenset[str]) -> Draft:
    """The file as a draft; `services` are those that have a connector."""
    unused: dict[str, Node] = {}
    _top_level(root, problems, unused)
    urls = _urls(root, problems, services, unused)
    insecure = renamed(root, {"allow_insecure": "allow_insecure"})
    lms = renamed(root, {"client_id": "client_id", "client_secret": "client_secret"}) | insecure
    if "LMS" in urls:
        lms["url"] = urls.pop("LMS")
    entries = renamed(root, {"cool_off_days": "cool_off_days"}) | {
        "lms": Node(lms, 1, "file"),
        "queue": Node(renamed(root, _QUEUE), 1, "file"),
        "services": Node({name: moved(node, {"url": node} | insecure) for name, node in urls.items()}, 1, "base_urls"),
    }
    if "retirement_pipeline" in root.entries:
        entries["pipeline"] = _pipeline(root.entries["retirement_pipeline"])
    if unused:
        line = min(node.line for node in unused.values())
        problems.warn(line, next(iter(unused)), f"not used by this version: {', '.join(unused)}")
    return Draft("tubular", Node(entries, 1, "file"), named)


def named(key: str) -> str:
    if key.startswith("services.") and key.endswith(".url"):
        return f"base_urls.{key.split('.')[1].lower()}"
    return _NAMES.get(key, key)


def _top_level(root: Node, problems: Problems, unused: dict[str, Node]) -> None:
    for name, node in root.entries.items():
        if name in _NO_USE_YET or name.startswith(_NO_USE_PREFIXES):
            unused[node.key] = node
        elif name not in SIGNATURE and name not in _OURS:
            hint = nearest(shown(name), [*SIGNATURE, *_OURS, *_NO_USE_YET])
            problems.add(node.line, node.key, f"is no key here{hint}")


def _urls(root: Node, problems: Problems, services: frozenset[str], unused: dict[str, Node]) -> dict[str, Node]:
    node = root.entries.get("base_urls")
    if node is None or node.data is None:
        return {}
    if not isinstance(node.data, dict):
        problems.add(node.line, node.key, "must be a mapping of services to URLs, such as `lms: https://…`")
        return {}
    urls: dict[str, Node] = {}
    for name, url in node.entries.items():
        if name.upper() in UNSERVED and name.upper() not in services:
            unused[url.key] = url
        elif name.upper() not in services or name != name.lower():
            valid = [service.lower() for service in (*services, *UNSERVED)]
            problems.add(url.line, url.key, f"is no service here{nearest(shown(name), valid)}")
        elif url.data is not None:
            urls[name.upper()] = url
    return urls


def _pipeline(node: Node) -> Node:
    return moved(node, [_step(row) for row in node.data]) if isinstance(node.data, list) else node


def _step(row: Node) -> Node:
    if len(row.items) == len(_STEP):
        return moved(row, dict(zip(_STEP, row.items, strict=True)))
    count = f"has {len(row.items)} entries, not four" if isinstance(row.data, list) else "must be a row of four"
    return Node(None, row.line, row.key, unusable=f"{count}: [START, END, SERVICE, OPERATION]")
