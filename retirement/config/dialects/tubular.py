"""The configuration file of the reference scripts: tubular, `scripts/user_retirement`, the tutor plugin.

Keys are those that the scripts read; those that went into the command line there may stand in the file here.
Which of them are settings of a vendor says its connector (`Connector.reference_keys`, `withdrawn_keys`).
"""

import re
from collections.abc import Callable, Collection, Mapping

from retirement.config.dialects import tubular_archive, tubular_partners
from retirement.config.document import Node
from retirement.config.draft import ROW, Draft, chosen, moved, renamed, warn_of_unused
from retirement.config.problems import Problems, nearest, shown
from retirement.config.unsaid import EVERYTHING
from retirement.connectors import BatchSettings, Connector

SIGNATURE = ("client_id", "client_secret", "base_urls", "retirement_pipeline")

#: Connectors that a configuration may name, by service.
Connectors = Mapping[str, type[Connector]]

_QUEUE = {"max_user_batch_size": "limit", "user_count_error_threshold": "threshold"}
_OURS = ("allow_insecure", "cool_off_days", "timezone", *_QUEUE)
#: The switch by which Segment is told the learner's tracking id in ecommerce as well.
_TRACKING = "fetch_ecommerce_segment_id"
#: An alert mail that is not sent here, names of older releases, and what partner reports and archive lack the rest of.
_NO_USE_YET = (
    "blacklisted_notification_domains",
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
_NO_USE_PREFIXES = ("drive_", "google_", "partner_", "s3_")
_OLD_LOGIN = ("segment_email", "segment_password", "segment_projects")
#: Vendors whose keys reference files hold, each beginning with the vendor's name.
_VENDORS = ("AMPLITUDE", "BRAZE", "HUBSPOT", "SAILTHRU", "SALESFORCE", "SEGMENT")
#: Services that reference files name, whether or not a connector serves them.
UNSERVED = (*_VENDORS, "DEMOGRAPHICS", "NOTES")

_NAMES = {
    "lms.url": "base_urls.lms",
    "lms.client_id": "client_id",
    "lms.client_secret": "client_secret",
    "pipeline": "retirement_pipeline",
    "queue.limit": "max_user_batch_size",
    "queue.threshold": "user_count_error_threshold",
    **tubular_archive.NAMES,
}
_ENDS_WITH_PATH = re.compile(r"^[^/]+://[^/]+/+[^/]")
_PATH = "has a path, which the calls bring themselves; write the address alone, https://HOST"


def draft(root: Node, problems: Problems, connectors: Connectors) -> Draft:
    """The file as a draft."""
    return _File(root, problems, connectors).draft()


class _File:
    """One file of the reference. Keys without a use here are collected, and are one warning."""

    def __init__(self, root: Node, problems: Problems, connectors: Connectors) -> None:
        self._root, self._problems, self._connectors = root, problems, connectors
        self._keys = {key for each in connectors.values() for key in (*each.reference_keys, *each.withdrawn_keys)}
        self._used = _services_of_steps(root)
        self._unused: dict[str, Node] = {}

    def draft(self) -> Draft:
        root = self._root
        self._look_over()
        self._look_for_withdrawn()
        self._look_for_old_login()
        urls = self._urls()
        insecure = chosen(root, ("allow_insecure",))
        lms = chosen(root, ("client_id", "client_secret")) | insecure
        if "LMS" in urls:
            lms["url"] = urls.pop("LMS")
        services = self._services(urls)
        if self._wants_tracking_id():
            self._look_up_tracking_id(urls, services)
        with_insecure = {name: moved(node, node.entries | insecure) for name, node in services.items()}
        entries = chosen(root, ("cool_off_days", "timezone")) | {
            "lms": Node(lms, 1, "file"),
            "queue": Node(renamed(root, _QUEUE), 1, "file"),
            "services": Node(dict[str, Node](with_insecure), 1, "base_urls"),
        }
        if tubular_partners.is_given(root):
            entries["partners"] = tubular_partners.section(root)
        if tubular_archive.is_given(root):
            entries["archive"] = tubular_archive.section(root)
        if "retirement_pipeline" in root.entries:
            entries["pipeline"] = _pipeline(root.entries["retirement_pipeline"])
        warn_of_unused(sorted(self._unused.values(), key=lambda node: node.line), self._problems)
        return Draft("tubular", Node(entries, 1, "file"), _naming(self._connectors), outside=EVERYTHING)

    def _look_over(self) -> None:
        """Keys of the top level that are none, or that have no use."""
        known = [*SIGNATURE, *_OURS, _TRACKING, *self._keys, *tubular_partners.KEYS, tubular_archive.KEY]
        for name, node in self._root.entries.items():
            if self._has_no_use(name):
                self._unused[node.key] = node
            elif name not in (*known, *_OLD_LOGIN):
                hint = _hint(name, [*known, *_NO_USE_YET])
                self._problems.doubt(node.line, node.key, f"is no key here, and is not used{hint}")

    def _has_no_use(self, name: str) -> bool:
        if name in tubular_partners.KEYS and tubular_partners.is_given(self._root):
            return False
        if name == tubular_archive.KEY and tubular_archive.is_given(self._root):
            return False
        without = (f"{vendor.lower()}_" for vendor in _VENDORS if vendor not in self._connectors)
        return name in _NO_USE_YET or (name.startswith((*_NO_USE_PREFIXES, *without)) and name not in self._keys)

    def _look_for_withdrawn(self) -> None:
        """Keys of logins that a vendor has ended: where a step uses the service, other keys have to be given."""
        for service, connector in self._connectors.items():
            own = [name for name in connector.Settings.model_fields if name not in BatchSettings.model_fields]
            for key, sentence in connector.withdrawn_keys.items():
                fix = f"take the {service} step out, convert the file with `retirement config import`, and put the"
                fix = f"{fix} step back there with services.{service}: url, {', '.join(own)}"
                self._refuse_if_used(service, self._root.child(key), sentence.rstrip("."), f"; {fix}")

    def _look_for_old_login(self) -> None:
        """Segment's login of the releases before its tokens."""
        if "SEGMENT" not in self._connectors:
            return
        lacks_token = "SEGMENT" in self._used and self._root.child("segment_auth_token").data is None
        for node in chosen(self._root, _OLD_LOGIN).values():
            text = "belongs to a login that Segment has ended"
            if lacks_token:
                text = f"{text}; give segment_auth_token, a token of the workspace, in its place"
                self._problems.add(node.line, node.key, text)
            else:
                self._problems.warn(node.line, node.key, f"{text}, and is not used")

    def _refuse_if_used(self, service: str, node: Node, text: str, fix: str = "") -> None:
        """An error where a step uses the service, and a warning where none does; nothing of a key without a value."""
        if node.data is None:
            return
        if service in self._used:
            self._problems.add(node.line, node.key, f"{text}{fix}")
        else:
            self._problems.warn(node.line, node.key, f"{text}; no step uses {service}, so it is left out")

    def _urls(self) -> dict[str, Node]:
        """The addresses of services that a connector serves, by service."""
        node = self._root.child("base_urls")
        if not isinstance(node.data, dict | None):
            self._problems.add(node.line, node.key, "must be a mapping of services to URLs, such as `lms: https://…`")
        return {name.upper(): url for name, url in node.entries.items() if self._is_address(name, url)}

    def _is_address(self, name: str, url: Node) -> bool:
        """Whether a service can be called at this address; where it cannot, the reason is told."""
        service = name.upper()
        if service in self._connectors and name == name.lower():
            return url.data is not None and not self._has_a_wrong_path(service, url)
        if service in set(UNSERVED) - self._connectors.keys():
            self._unused[url.key] = url
        else:
            hint = nearest(shown(name), map(str.lower, {*self._connectors, *UNSERVED}))
            self._problems.doubt(url.line, url.key, f"is no service here, and is not used{hint}")
        return False

    def _has_a_wrong_path(self, service: str, url: Node) -> bool:
        """Segment's older addresses ended with the path of one API (`/graphql`, `/v1beta`), which no call here has."""
        if service != "SEGMENT" or not _ENDS_WITH_PATH.search(url.text):
            return False
        self._refuse_if_used(service, url, _PATH)
        return True

    def _services(self, urls: Mapping[str, Node]) -> dict[str, Node]:
        """The settings of every service of which the file says something."""
        found: dict[str, Node] = {name: moved(url, {"url": url}) for name, url in urls.items()}
        for service, connector in self._connectors.items():
            if given := self._given(connector):
                # What is wrong with several of them together is told at the first, and names them all.
                line = min(node.line for node in given.values())
                entries = found[service].entries | given if service in found else given
                found[service] = Node(dict[str, Node](entries), line, ", ".join(connector.reference_keys))
        return found

    def _given(self, connector: type[Connector]) -> dict[str, Node]:
        """The settings of a connector that have a value; an empty one is none to the scripts."""
        given = renamed(self._root, connector.reference_keys)
        return {ours: node for ours, node in given.items() if node.data not in (None, "")}

    def _wants_tracking_id(self) -> bool:
        """`fetch_ecommerce_segment_id`: whether Segment is to be told the learner's tracking id in ecommerce."""
        node, connector = self._root.child(_TRACKING), self._connectors.get("SEGMENT")
        if node.data is None or node.data is False:
            return False
        if connector is None or "ecommerce_url" not in connector.Settings.model_fields:
            self._unused[node.key] = node
            return False
        if node.data is not True:
            self._problems.add(node.line, node.key, "must be true or false")
        return node.data is True

    def _look_up_tracking_id(self, urls: Mapping[str, Node], services: dict[str, Node]) -> None:
        """The connector of Segment asks ecommerce for that id itself, and needs its address."""
        node, segment = self._root.child(_TRACKING), services.get("SEGMENT")
        if "ECOMMERCE" not in urls:
            if "SEGMENT" in self._used:
                text = "needs base_urls.ecommerce, where the id is looked up; give it, or say false"
                self._problems.add(node.line, node.key, text)
        elif segment:
            services["SEGMENT"] = moved(segment, segment.entries | {"ecommerce_url": urls["ECOMMERCE"]})


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
    rows = root.child("retirement_pipeline").items
    return frozenset(row.items[2].text for row in rows if len(row.items) == len(ROW))


def _hint(name: str, valid: Collection[str]) -> str:
    """What the key may be meant for; a key of one vendor is never guessed to be one of another."""
    vendor = next((each for each in _VENDORS if name.startswith(f"{each.lower()}_")), None)
    if vendor is None:
        return nearest(shown(name), valid)
    return nearest(shown(name), [key for key in valid if key.startswith(f"{vendor.lower()}_")])


def _pipeline(node: Node) -> Node:
    return moved(node, [_step(row) for row in node.data]) if isinstance(node.data, list) else node


def _step(row: Node) -> Node:
    if len(row.items) == len(ROW):
        return moved(row, dict(zip(ROW, row.items, strict=True)))
    count = f"has {len(row.items)} entries, not four" if isinstance(row.data, list) else "must be a row of four"
    return Node(None, row.line, row.key, unusable=f"{count}: [START, END, SERVICE, OPERATION]")
