"""Variables of the Ansible role `user_retirement_pipeline`, with the role's defaults for what is not given.

Such a file often holds the variables of many roles: those without a retirement prefix are left alone, unless
they look like a misspelt one.
"""

import re

from retirement.config.document import Data, Node
from retirement.config.draft import Draft, moved, renamed
from retirement.config.problems import Problems, close_to, nearest, shown

SIGNATURE = re.compile(r"(EDXAPP_|COMMON_)?RETIREMENT_\w+|retirement_service_\w+")

_KEY, _SECRET = "RETIREMENT_SERVICE_EDX_OAUTH2_KEY", "RETIREMENT_SERVICE_EDX_OAUTH2_SECRET"
_PIPELINE = "RETIREMENT_SERVICE_PIPELINE_CONFIGURATION"
_CRON, _HOURS, _MINUTES = (
    "RETIREMENT_SERVICE_ENABLE_CRON_JOB",
    "RETIREMENT_SERVICE_CRON_JOB_HOURS",
    "RETIREMENT_SERVICE_CRON_JOB_MINUTES",
)
_SETUP, _REPOS = "COMMON_RETIREMENT_SERVICE_SETUP", "RETIREMENT_SERVICE_GIT_REPOS"
#: The second names are those of earlier versions of the role.
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
_ELSEWHERE = (
    "EDXAPP_RETIREMENT_SERVICE_USER_EMAIL",
    "EDXAPP_RETIREMENT_SERVICE_USER_NAME",
    "EDXAPP_RETIREMENT_SERVICE_WORKER_USERNAME",
    "RETIREMENT_CREDENTIALS_BASE_BASE_URL",
    "RETIREMENT_SERVICE_GIT_IDENTITY",
    "RETIREMENT_SERVICE_SETUP",
    "RETIREMENT_SERVICE_USER_EMAIL",
)
_DAYS = "RETIREMENT_SERVICE_COOL_OFF_DAYS"
_VARIABLES = (*_LMS, *_URLS, *_ELSEWHERE, _DAYS, _PIPELINE, _CRON, _HOURS, _MINUTES, _SETUP, _REPOS)

_PLACEHOLDER = re.compile(r"PLEASE-SET-THIS-.*")
_DEFAULT_DAYS = 5
_STEP = {"NAME": "start", "NAME_COMPLETE": "end", "SERVICE": "service", "FUNCTION": "operation"}
_DEFAULT_STEPS = (
    ("RETIRING_ENROLLMENTS", "ENROLLMENTS_COMPLETE", "LMS", "retirement_unenroll"),
    ("RETIRING_LMS_MISC", "LMS_MISC_COMPLETE", "LMS", "retirement_lms_retire_misc"),
    ("RETIRING_LMS", "LMS_COMPLETE", "LMS", "retirement_lms_retire"),
)
_TRUE = ("true", "yes", "on", "1", "y", "t")
_FALSE = ("false", "no", "off", "0", "n", "f")


def draft(root: Node, problems: Problems) -> Draft:
    """The file as a draft."""
    _look_over(root, problems)
    lms = renamed(root, _LMS)
    for node in lms.values():
        if isinstance(node.data, str) and _PLACEHOLDER.fullmatch(node.data):
            problems.add(node.line, node.key, "is still the placeholder of the role; give the LMS' own value")
    insecure = renamed(root, {"allow_insecure": "allow_insecure"})
    urls = {name: node for name, node in renamed(root, _URLS).items() if node.data is not None}
    days = root.entries.get(_DAYS) or Node(_DEFAULT_DAYS, 1, _DAYS)
    entries = {
        "lms": Node(lms, 1, "file"),
        "cool_off_days": days,
        "services": Node({name: moved(node, {"url": node} | insecure) for name, node in urls.items()}, 1, "file"),
        "pipeline": _pipeline(root, problems),
    }
    if schedule := _schedule(root, problems):
        entries["schedule"] = schedule
    return Draft("ansible", Node(entries, 1, "file"), named)


def named(key: str) -> str:
    ours = {f"lms.{name}": theirs for theirs, name in _LMS.items()}
    return (ours | {f"services.{name}.url": theirs for theirs, name in _URLS.items()}).get(key, key)


def _look_over(root: Node, problems: Problems) -> None:
    for name, node in root.entries.items():
        if name in _VARIABLES or name.startswith("retirement_service_"):
            continue
        hint = close_to(shown(name), _VARIABLES)
        if SIGNATURE.fullmatch(name) or (hint and "RETIR" in name and not name.startswith("EDXAPP_RETIRED_")):
            problems.add(node.line, node.key, f"is no variable of the role{hint}")
    if _REPOS in root.entries:
        node = root.entries[_REPOS]
        text = "nothing is fetched or run from repositories; steps of your own come as installed connector packages"
        problems.warn(node.line, node.key, text)
    for name in (_SETUP, "RETIREMENT_SERVICE_SETUP"):
        if name in root.entries and _truth(root.entries[name]) is False:
            node = root.entries[name]
            problems.warn(
                node.line, node.key, "is off, so the role would set nothing up; the file is used all the same"
            )


def _pipeline(root: Node, problems: Problems) -> Node:
    node = root.entries.get(_PIPELINE)
    if node is None:
        problems.warn(1, _PIPELINE, "is not given; the three steps of the role are used: enrollments, misc, account")
        ours = tuple(_STEP.values())
        steps = [
            {name: Node(text, 1, _PIPELINE) for name, text in zip(ours, row, strict=True)} for row in _DEFAULT_STEPS
        ]
        return Node([Node(dict[str, Node](step), 1, _PIPELINE) for step in steps], 1, _PIPELINE)
    if not isinstance(node.data, list):
        return node
    return moved(node, [_step(row, problems) for row in node.items])


def _step(row: Node, problems: Problems) -> Node:
    for name, node in row.entries.items():
        if name not in _STEP:
            problems.add(node.line, node.key, f"is no key here{nearest(shown(name), _STEP)}")
    if missing := [name for name in _STEP if name not in row.entries]:
        text = f"lacks {', '.join(missing)}; a step is a mapping of {', '.join(_STEP)}"
        return Node(None, row.line, row.key, unusable=text)
    return moved(row, dict[str, Node](renamed(row, _STEP)))


def _schedule(root: Node, problems: Problems) -> Node | None:
    switch = root.entries.get(_CRON)
    if switch is None or switch.data is None:
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
    node = root.entries.get(name)
    return "0" if node is None or node.data is None else node.text.strip() or "?"


def _line(root: Node) -> int:
    nodes = [root.entries[name] for name in (_MINUTES, _HOURS, _CRON) if name in root.entries]
    return nodes[0].line


def _truth(node: Node) -> bool | None:
    data: Data = node.data
    if isinstance(data, bool):
        return data
    text = node.text.strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None
