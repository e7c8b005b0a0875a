"""Which of the dialects a file is written in, by its keys, and which files of neighbours are none."""

from retirement.config import repair, unsaid
from retirement.config.dialects import ansible, own, tubular, tutor
from retirement.config.document import Node
from retirement.config.draft import Draft, chosen
from retirement.config.problems import Problems, nearest, shown
from retirement.config.unsaid import Answers

#: Settings of the LMS that stand beside its RETIREMENT_STATES, in `lms.yml`, `lms.env.json` and in what makes them.
_OF_THE_LMS = (
    *("CMS_BASE", "DATABASES", "ENABLE_ACCOUNT_DELETION", "FEATURES", "LMS_BASE", "LMS_ROOT_URL", "SITE_NAME"),
    *("RETIRED_EMAIL_DOMAIN", "RETIRED_EMAIL_FMT", "RETIRED_EMAIL_PREFIX", "RETIRED_USERNAME_FMT"),
    *("RETIRED_USERNAME_PREFIX", "RETIRED_USER_SALTS", "RETIREMENT_SERVICE_WORKER_USERNAME", "RETIREMENT_STATES"),
)


def draft(
    root: Node, problems: Problems, connectors: tubular.Connectors, answers: Answers
) -> tuple[Draft | None, tuple[str, ...]]:
    """The file as a draft of whichever dialect it is, and the settings that it leaves outside.

    There is no draft where `problems` says why not.
    """
    found = _draft(root, problems, connectors)
    if found is None:
        return None, ()
    found = unsaid.answered(found, answers)
    return unsaid.filled(repair.with_misc(found) if answers.add_misc else found, problems)


def _draft(root: Node, problems: Problems, connectors: tubular.Connectors) -> Draft | None:
    if tutor.is_one(root):
        return tutor.draft(root, problems)
    found = _first_key_of_each_dialect(root)
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
        case "ansible" if not ansible.is_fragment(root):
            return ansible.draft(root, problems)
    _no_configuration(root, problems)
    return None


def _no_configuration(root: Node, problems: Problems) -> None:
    """Says what the file is instead, where it is known."""
    if node := _setting_of_the_lms(root):
        text = "is a setting of the LMS, and this its file; give a configuration such as deployments/examples/own.yaml"
        problems.add(node.line, node.key, f"{text}, and the LMS' RETIREMENT_STATES in it as lms.states")
    elif _first_key_of_each_dialect(root):
        node = min(root.entries.values(), key=_line_of)
        problems.add(node.line, node.key, ansible.FRAGMENT)
    else:
        _refuse_every_key(root, problems)


def _setting_of_the_lms(root: Node) -> Node | None:
    found = chosen(root, _OF_THE_LMS)
    return found.get("RETIREMENT_STATES") or min(found.values(), key=_line_of, default=None)


def _refuse_every_key(root: Node, problems: Problems) -> None:
    for name, node in root.entries.items():
        hint = nearest(shown(name), [*own.KEYS, *tubular.SIGNATURE])
        problems.add(node.line, node.key, f"is no key of a configuration{hint}")
    if not problems:
        problems.add(1, "file", "is empty; deployments/examples has files to start from")


def _line_of(node: Node) -> int:
    return node.line


def _first_key_of_each_dialect(root: Node) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for name, node in root.entries.items():
        if dialect := _dialect_of(name):
            found.setdefault(dialect, node)
    return found


def _dialect_of(name: str) -> str | None:
    if name in own.SECTIONS:
        return "own"
    if name in tubular.SIGNATURE:
        return "tubular"
    return "ansible" if ansible.SIGNATURE.fullmatch(name) else None
