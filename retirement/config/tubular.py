"""The configuration file of the reference scripts: tubular, `scripts/user_retirement`, the tutor plugin.

Keys are those that the scripts read; those that went into the command line there may stand in the file here.
Which of them are settings of a vendor says its connector (`Connector.reference_keys`, `withdrawn_keys`).
"""

from collections.abc import Callable, Collection, Mapping

from retirement.config.document import Node
from retirement.config.draft import Draft, moved, renamed
from retirement.config.problems import Problems, nearest, shown
from retirement.connectors import BatchSettings, Connector

SIGNATURE = ("client_id", "client_secret", "base_urls", "retirement_pipeline")

#: Connectors that a configuration may name, by service.
Connectors = Mapping[str, type[Connector]]

_QUEUE = {"max_user_batch_size": "limit", "user_count_error_threshold": "threshold"}
_OURS = ("allow_insecure", "cool_off_days", *_QUEUE)
#: The switch by which Segment is told the learner's tracking id in ecommerce as well.
_TRACKING = "fetch_ecommerce_segment_id"
#: Partner reports, the archive, and an alert mail that nobody sends here.
_NO_USE_YET = (
    "denied_notification_domains",
    "drive_partners_folder",
    "google_secrets_file",
    "hubspot_alert_email",
    "hubspot_aws_region",
    "hubspot_from_address",
    "org_partner_mapping",
    "partner_report_platform_name",
    "s3_archive",
)
_NO_USE_PREFIXES = ("drive_", "partner_")
#: Vendors whose keys reference files hold, each beginning with the vendor's name.
_VENDORS = ("AMPLITUDE", "BRAZE", "HUBSPOT", "SAILTHRU", "SALESFORCE", "SEGMENT")
#: Services that reference files name, whether or not a connector serves them.
UNSERVED = (*_VENDORS, "DEMOGRAPHICS", "NOTES")

_STEP = ("start", "end", "service", "operation")
_NAMES = {
    "lms.url": "base_urls.lms",
    "lms.client_id": "client_id",
    "lms.client_secret": "client_secret",
    "pipeline": "retirement_pipeline",
}


def draft(root: Node, problems: Problems, connectors: Connectors) -> Draft:
    """The file as a draft."""
    unused: dict[str, Node] = {}
    used = _services_of_steps(root)
    _top_level(root, problems, unused, connectors)
    _withdrawn(root, problems, connectors, used)
    urls = _urls(root, problems, connectors, unused)
    insecure = renamed(root, {"allow_insecure": "allow_insecure"})
    lms = renamed(root, {"client_id": "client_id", "client_secret": "client_secret"}) | insecure
    if "LMS" in urls:
        lms["url"] = urls.pop("LMS")
    services = _services(root, urls, connectors)
    _tracking(root, problems, unused, urls, services, used=used, connectors=connectors)
    with_insecure = {name: moved(node, node.entries | insecure) for name, node in services.items()}
    entries = renamed(root, {"cool_off_days": "cool_off_days"}) | {
        "lms": Node(lms, 1, "file"),
        "queue": Node(renamed(root, _QUEUE), 1, "file"),
        "services": Node(dict[str, Node](with_insecure), 1, "base_urls"),
    }
    if "retirement_pipeline" in root.entries:
        entries["pipeline"] = _pipeline(root.entries["retirement_pipeline"])
    if unused:
        keys = sorted(unused, key=lambda key: unused[key].line)
        problems.warn(unused[keys[0]].line, keys[0], f"not used by this version: {', '.join(keys)}")
    return Draft("tubular", Node(entries, 1, "file"), _naming(connectors))


def _naming(connectors: Connectors) -> Callable[[str], str]:
    """Tells what the reference's file calls one of our keys; ours, where it has no word for it."""
    vendors = {
        f"services.{service}.{ours}": theirs
        for service, connector in connectors.items()
        for theirs, ours in connector.reference_keys.items()
    }

    def named(key: str) -> str:
        if key.startswith("services.") and key.endswith(".url"):
            return f"base_urls.{key.split('.')[1].lower()}"
        return (_NAMES | vendors).get(key, key)

    return named


def _services_of_steps(root: Node) -> frozenset[str]:
    rows = root.entries["retirement_pipeline"].items if "retirement_pipeline" in root.entries else []
    return frozenset(row.items[2].text for row in rows if len(row.items) == len(_STEP))


def _top_level(root: Node, problems: Problems, unused: dict[str, Node], connectors: Connectors) -> None:
    keys = {key for each in connectors.values() for key in (*each.reference_keys, *each.withdrawn_keys)}
    without = tuple(f"{vendor.lower()}_" for vendor in _VENDORS if vendor not in connectors)
    for name, node in root.entries.items():
        if name in _NO_USE_YET or (name.startswith((*_NO_USE_PREFIXES, *without)) and name not in keys):
            unused[node.key] = node
        elif name not in (*SIGNATURE, *_OURS, _TRACKING, *keys):
            hint = nearest(shown(name), [*SIGNATURE, *_OURS, _TRACKING, *_NO_USE_YET, *keys])
            problems.add(node.line, node.key, f"is no key here{hint}")


def _withdrawn(root: Node, problems: Problems, connectors: Connectors, used: Collection[str]) -> None:
    """Keys of logins that a vendor has ended: whoever uses the service has to give others, in our dialect."""
    for service, connector in connectors.items():
        own = [name for name in connector.Settings.model_fields if name not in BatchSettings.model_fields]
        for key, sentence in connector.withdrawn_keys.items():
            if (node := root.entries.get(key)) is None or node.data is None:
                continue
            text = sentence.rstrip(".")
            if service in used:
                fix = f"take the {service} step out, convert the file with `retirement config import`, and put the"
                fix = f"{fix} step back there with services.{service}: url, {', '.join(own)}"
                problems.add(node.line, node.key, f"{text}; {fix}")
            else:
                problems.warn(node.line, node.key, f"{text}; no step uses {service}, so it is left out")


def _urls(root: Node, problems: Problems, connectors: Connectors, unused: dict[str, Node]) -> dict[str, Node]:
    node = root.entries.get("base_urls")
    if node is None or node.data is None:
        return {}
    if not isinstance(node.data, dict):
        problems.add(node.line, node.key, "must be a mapping of services to URLs, such as `lms: https://…`")
        return {}
    urls: dict[str, Node] = {}
    for name, url in node.entries.items():
        if name.upper() in UNSERVED and name.upper() not in connectors:
            unused[url.key] = url
        elif name.upper() not in connectors or name != name.lower():
            valid = [service.lower() for service in (*connectors, *UNSERVED)]
            problems.add(url.line, url.key, f"is no service here{nearest(shown(name), valid)}")
        elif url.data is not None:
            urls[name.upper()] = url
    return urls


def _services(root: Node, urls: Mapping[str, Node], connectors: Connectors) -> dict[str, Node]:
    """The settings of every service of which the file says something, an empty value being none as in the scripts."""
    found: dict[str, Node] = {name: moved(url, {"url": url}) for name, url in urls.items()}
    for service, connector in connectors.items():
        given = {
            ours: node for ours, node in renamed(root, connector.reference_keys).items() if node.data not in (None, "")
        }
        if given:
            # What is wrong with several of them together is told at the first, and names them all.
            line = min(node.line for node in given.values())
            entries = found[service].entries | given if service in found else given
            found[service] = Node(dict[str, Node](entries), line, ", ".join(connector.reference_keys))
    return found


def _tracking(
    root: Node,
    problems: Problems,
    unused: dict[str, Node],
    urls: Mapping[str, Node],
    services: dict[str, Node],
    *,
    used: Collection[str],
    connectors: Connectors,
) -> None:
    """`fetch_ecommerce_segment_id`: the connector of Segment asks ecommerce itself, and needs its address."""
    node = root.entries.get(_TRACKING)
    if node is None or node.data is None or node.data is False:
        return
    connector = connectors.get("SEGMENT")
    if connector is None or "ecommerce_url" not in connector.Settings.model_fields:
        unused[node.key] = node
    elif node.data is not True:
        problems.add(node.line, node.key, "must be true or false")
    elif "ECOMMERCE" in urls and "SEGMENT" in services:
        segment = services["SEGMENT"]
        services["SEGMENT"] = moved(segment, segment.entries | {"ecommerce_url": urls["ECOMMERCE"]})
    elif "SEGMENT" in used and "ECOMMERCE" not in urls:
        problems.add(node.line, node.key, "needs base_urls.ecommerce, where the id is looked up; give it, or say false")


def _pipeline(node: Node) -> Node:
    return moved(node, [_step(row) for row in node.data]) if isinstance(node.data, list) else node


def _step(row: Node) -> Node:
    if len(row.items) == len(_STEP):
        return moved(row, dict(zip(_STEP, row.items, strict=True)))
    count = f"has {len(row.items)} entries, not four" if isinstance(row.data, list) else "must be a row of four"
    return Node(None, row.line, row.key, unusable=f"{count}: [START, END, SERVICE, OPERATION]")
