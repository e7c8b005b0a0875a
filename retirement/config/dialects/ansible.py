"""Variables of the Ansible role `user_retirement_pipeline`, with the role's defaults for what is not given.

Such a file often holds the variables of many roles: those without a retirement prefix are left alone, unless
they look like a misspelt one.
"""

import re
from collections.abc import Iterable

from retirement.config.document import Data, Node
from retirement.config.draft import Draft, chosen, moved, renamed, step, warn_of_unused
from retirement.config.problems import Problems, close_to, nearest, shown
from retirement.config.unsaid import COOL_OFF

SIGNATURE = re.compile(r"(EDXAPP_|COMMON_)?RETIREMENT_\w+|retirement_service_\w+")

_KEY, _SECRET = "RETIREMENT_SERVICE_EDX_OAUTH2_KEY", "RETIREMENT_SERVICE_EDX_OAUTH2_SECRET"
_PIPELINE = "RETIREMENT_SERVICE_PIPELINE_CONFIGURATION"
_CRON, _HOURS, _MINUTES = (
    "RETIREMENT_SERVICE_ENABLE_CRON_JOB",
    "RETIREMENT_SERVICE_CRON_JOB_HOURS",
    "RETIREMENT_SERVICE_CRON_JOB_MINUTES",
)
_SETUP, _REPOS = "COMMON_RETIREMENT_SERVICE_SETUP", "RETIREMENT_SERVICE_GIT_REPOS"
#: The first two are names of earlier versions of the role.
_LMS = {
    "RETIREMENT_SERVICE_OAUTH_CLIENT_ID": "client_id",
    "RETIREMENT_SERVICE_OAUTH_CLIENT_SECRET": "client_secret",
    _KEY: "client_id",
    _SECRET: "client_secret",
    "RETIREMENT_LMS_BASE_URL": "url",
    "RETIREMENT_STATES": "states",
    "EDXAPP_RETIREMENT_STATES": "states",
    "allow_insecure": "allow_insecure",
}
_URLS = {
    "RETIREMENT_ECOMMERCE_BASE_BASE_URL": "ECOMMERCE",
    "RETIREMENT_CREDENTIALS_BASE_URL": "CREDENTIALS",
    "RETIREMENT_DISCOVERY_BASE_URL": "DISCOVERY",
    "RETIREMENT_LICENSE_MANAGER_BASE_URL": "LICENSE_MANAGER",
}
#: Of every release of the role and of its forks, and of the roles that make the worker in the LMS.
_NO_USE = (
    "EDXAPP_RETIREMENT_SERVICE_USER_EMAIL",
    "EDXAPP_RETIREMENT_SERVICE_USER_NAME",
    "EDXAPP_RETIREMENT_SERVICE_WORKER_USERNAME",
    "RETIREMENT_CREDENTIALS_BASE_BASE_URL",
    "RETIREMENT_SERVICE_GIT_IDENTITY",
    "RETIREMENT_SERVICE_USER_EMAIL",
    "RETIREMENT_SERVICE_USER_NAME",
    "RETIREMENT_SERVICE_VERSION",
    "RETIREMENT_SERVICE_WORKER_USERNAME",
)
#: The switch of the first releases.
_OLD_SETUP = "RETIREMENT_SERVICE_SETUP"
_DAYS = "RETIREMENT_SERVICE_COOL_OFF_DAYS"
_USED = (*_LMS, *_URLS, _DAYS, _PIPELINE, _CRON, _HOURS, _MINUTES, _SETUP, _OLD_SETUP, _REPOS)
_VARIABLES = (*_USED, *_NO_USE)
#: What a file is told that has variables around the role and none of the role's own.
FRAGMENT = (
    "is a part of a site's variables, without address, client and pipeline; give the file with RETIREMENT_LMS_BASE_URL "
    "in it, or what the role has written from it, `/edx/app/retirement_service/config.yml`"
)

_PLACEHOLDER = re.compile(r"PLEASE-SET-THIS-.*")
_STEP = {"NAME": "start", "NAME_COMPLETE": "end", "SERVICE": "service", "FUNCTION": "operation"}
_DEFAULT_STEPS = (
    ("RETIRING_ENROLLMENTS", "ENROLLMENTS_COMPLETE", "LMS", "retirement_unenroll"),
    ("RETIRING_LMS_MISC", "LMS_MISC_COMPLETE", "LMS", "retirement_lms_retire_misc"),
    ("RETIRING_LMS", "LMS_COMPLETE", "LMS", "retirement_lms_retire"),
)
_TRUE = ("true", "yes", "on", "1", "y", "t")
_FALSE = ("false", "no", "off", "0", "n", "f")


def is_fragment(root: Node) -> bool:
    """Whether the file has nothing that a pipeline could be run by."""
    connection = (_KEY, _SECRET, "RETIREMENT_SERVICE_OAUTH_CLIENT_ID", "RETIREMENT_SERVICE_OAUTH_CLIENT_SECRET")
    return not any(name in root.entries for name in (*connection, *_URLS, "RETIREMENT_LMS_BASE_URL", _PIPELINE))


def draft(root: Node, problems: Problems) -> Draft:
    """The file as a draft."""
    _look_over(root, problems)
    lms = renamed(root, _LMS)
    _refuse_placeholders(lms.values(), problems)
    insecure = chosen(root, ("allow_insecure",))
    urls = {name: node for name, node in renamed(root, _URLS).items() if node.data is not None}
    entries = renamed(root, {_DAYS: "cool_off_days", "timezone": "timezone"}) | {
        "lms": Node(lms, 1, "file"),
        "services": Node({name: moved(node, {"url": node} | insecure) for name, node in urls.items()}, 1, "file"),
        "pipeline": _pipeline(root, problems),
    }
    if schedule := _schedule(root, problems):
        entries["schedule"] = schedule
        if "timezone" not in entries:
            text = (
                "is read in UTC here, where the role's cron used the time zone of its machine; write `timezone: ZONE`"
            )
            problems.warn(schedule.line, schedule.key, text)
    return Draft("ansible", Node(entries, 1, "file"), named, outside=(COOL_OFF,))


def named(key: str) -> str:
    ours = {f"lms.{name}": theirs for theirs, name in _LMS.items()}
    ours |= {"cool_off_days": _DAYS, "pipeline": _PIPELINE}
    return (ours | {f"services.{name}.url": theirs for theirs, name in _URLS.items()}).get(key, key)


def _refuse_placeholders(nodes: Iterable[Node], problems: Problems) -> None:
    for node in nodes:
        if isinstance(node.data, str) and _PLACEHOLDER.fullmatch(node.data):
            text = "is still the placeholder of the role; give the LMS' own value, as create_dot_application prints it"
            problems.add(node.line, node.key, text)


def _look_over(root: Node, problems: Problems) -> None:
    warn_of_unused([node for name, node in root.entries.items() if _has_no_use(name)], problems)
    _look_for_misspelt(root, problems)
    if node := root.entries.get(_REPOS):
        text = "nothing is fetched or run from repositories; steps of your own come as installed connector packages"
        problems.warn(node.line, node.key, text)
    for node in (root.child(_SETUP), root.child(_OLD_SETUP)):
        if _truth(node) is False:
            text = "is off, so the role would set nothing up; the file is used all the same"
            problems.warn(node.line, node.key, text)


def _has_no_use(name: str) -> bool:
    return name in _NO_USE or name.startswith("retirement_service_")


def _look_for_misspelt(root: Node, problems: Problems) -> None:
    for name, node in root.entries.items():
        if name in _USED or _has_no_use(name):
            continue
        hint = close_to(shown(name), _VARIABLES)
        if SIGNATURE.fullmatch(name) or _is_nearly_one(name, hint):
            problems.doubt(node.line, node.key, f"is no variable of the role, and is not used{hint}")


def _is_nearly_one(name: str, hint: str) -> bool:
    """Whether a name that is close to a variable of the role (`hint`) is about retirement too."""
    return bool(hint) and "RETIR" in name and not name.startswith("EDXAPP_RETIRED_")


def _pipeline(root: Node, problems: Problems) -> Node:
    node = root.entries.get(_PIPELINE)
    if node is None:
        problems.warn(1, _PIPELINE, "is not given; the three steps of the role are used: enrollments, misc, account")
        place = Node(None, 1, _PIPELINE)
        return moved(place, [step(row, place) for row in _DEFAULT_STEPS])
    if not isinstance(node.data, list):
        return node
    return moved(node, [_step(row, problems) for row in node.items])


def _step(row: Node, problems: Problems) -> Node:
    for name, node in row.entries.items():
        if name not in _STEP:
            problems.doubt(node.line, node.key, f"is no key here, and is not used{nearest(shown(name), _STEP)}")
    if missing := [name for name in _STEP if name not in row.entries]:
        text = f"lacks {', '.join(missing)}; a step is a mapping of {', '.join(_STEP)}"
        return Node(None, row.line, row.key, unusable=text)
    return moved(row, dict[str, Node](renamed(row, _STEP)))


def _schedule(root: Node, problems: Problems) -> Node | None:
    switch = root.child(_CRON)
    if switch.data is None:
        return None
    on = _truth(switch)
    if on is None:
        problems.add(switch.line, switch.key, "must be true or false")
    if not on:
        return None
    return Node(
        f"{_cron_field(root, _MINUTES)} {_cron_field(root, _HOURS)} * * *", _line(root), f"{_MINUTES}, {_HOURS}"
    )


def _cron_field(root: Node, name: str) -> str:
    node = root.child(name)
    return "0" if node.data is None else node.text.strip() or "?"


def _line(root: Node) -> int:
    nodes = [root.entries[name] for name in (_MINUTES, _HOURS, _CRON) if name in root.entries]
    return nodes[0].line


def _truth(node: Node) -> bool | None:
    data: Data = node.data
    if isinstance(data, bool):
        return data
    text = node.text.strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None
