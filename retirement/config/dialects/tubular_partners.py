"""The keys of the reference's partner report: a folder of Google Drive with a folder for each partner.

They mean something together only: without `drive_partners_folder` or `google_secrets_file`, which stood on a command
line, they are not used, and `partner-report --output` writes a file for each organisation.
"""

from retirement.config.document import Node
from retirement.config.draft import moved, renamed

#: Columns by organisation, as older LMS sent them with each learner: a list of `org` and `field_headings`.
HEADINGS = "orgs_config"
FOLDER, KEY = "drive_partners_folder", "google_secrets_file"
#: Domains whose people are not told; the second is what older releases called them.
DENIED = ("denied_notification_domains", "blacklisted_notification_domains")
_NAMES = {"org_partner_mapping": "organisations", "partner_report_platform_name": "platform"}
#: The keys that are used where both are there.
KEYS = frozenset({FOLDER, KEY, HEADINGS, *DENIED, *_NAMES})


def is_given(root: Node) -> bool:
    """Whether the file says where the partners' folders are, and with which key they are opened."""
    return all(root.child(name).data not in (None, "") for name in (FOLDER, KEY))


def section(root: Node) -> Node:
    """The section `partners` of a file that has both."""
    folder = root.child(FOLDER)
    sink = {
        "name": _text("drive", folder),
        "kind": _text("drive", folder),
        "folder": folder,
        "key_file": root.child(KEY),
    }
    if denied := next((root.entries[name] for name in DENIED if name in root.entries), None):
        sink["denied_domains"] = moved(denied, [_domain(each) for each in _each(denied)])
    found = renamed(root, _NAMES)
    if mapping := found.get("organisations"):
        found["organisations"] = moved(mapping, {name: _listed(each) for name, each in mapping.entries.items()})
    if given := root.entries.get(HEADINGS):
        found["headings"] = moved(
            given, {_org(each): each.child("field_headings") for each in given.items} or given.data
        )
    return Node({**found, "sinks": Node([Node(sink, folder.line, FOLDER)], folder.line, FOLDER)}, folder.line, FOLDER)


def _text(text: str, place: Node) -> Node:
    return Node(text, place.line, place.key, text)


def _each(node: Node) -> list[Node]:
    """The members of a list, or of a set, which YAML writes as a mapping without values."""
    return node.items or [Node(name, each.line, each.key, name) for name, each in node.entries.items()]


def _domain(node: Node) -> Node:
    """The scripts compare the end of an address, so that their domains begin with an @."""
    text = node.text.removeprefix("@")
    return Node(text, node.line, node.key, text)


def _org(node: Node) -> str:
    return node.child("org").text


def _listed(node: Node) -> Node:
    """The scripts of 2018 had one partner for each organisation."""
    return Node([node], node.line, node.key) if isinstance(node.data, str) else node
