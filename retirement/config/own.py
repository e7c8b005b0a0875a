"""Our own dialect: what `Draft` has already, so that only its top level is looked at here."""

from retirement.config.document import Node
from retirement.config.draft import Draft
from retirement.config.problems import Problems, nearest, shown
from retirement.config.settings import GeneralSettings

SECTIONS = ("lms", "ledger", "queue", "guard", "retry", "breaker", "databases", "services", "pipeline")
KEYS = (*SECTIONS, *GeneralSettings.model_fields)


def draft(root: Node, problems: Problems) -> Draft:
    for name, node in root.entries.items():
        if name not in KEYS:
            problems.add(node.line, node.key, f"is no key here{nearest(shown(name), KEYS)}")
    return Draft("own", root, named=lambda key: key)
