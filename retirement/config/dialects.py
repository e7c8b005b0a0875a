"""Which of the three dialects a file is written in, by its keys."""

from retirement.config import ansible, own, tubular
from retirement.config.document import Node
from retirement.config.draft import Draft
from retirement.config.problems import Problems, nearest, shown


def draft(root: Node, problems: Problems, connectors: tubular.Connectors) -> Draft | None:
    """The file as a draft of whichever dialect it is; None where `problems` says why not."""
    found: dict[str, Node] = {}
    for name, node in root.entries.items():
        if dialect := _dialect_of(name):
            found.setdefault(dialect, node)
    if len(found) > 1:
        first, second = sorted(found.items(), key=lambda each: each[1].line)[:2]
        text = f"is of the {second[0]} dialect and {first[1].key} of the {first[0]} one; keep one dialect in a file"
        problems.add(second[1].line, second[1].key, text)
        return None
    match next(iter(found), None):
        case "own":
            return own.draft(root, problems)
        case "tubular":
            return tubular.draft(root, problems, connectors)
        case "ansible":
            return ansible.draft(root, problems)
    for name, node in root.entries.items():
        hint = nearest(shown(name), [*own.KEYS, *tubular.SIGNATURE])
        problems.add(node.line, node.key, f"is no key of a configuration{hint}")
    if not problems:
        problems.add(1, "file", "is empty; deployments/examples has files to start from")
    return None


def _dialect_of(name: str) -> str | None:
    if name in own.SECTIONS:
        return "own"
    if name in tubular.SIGNATURE:
        return "tubular"
    return "ansible" if ansible.SIGNATURE.fullmatch(name) else None
