"""Tutor's own `config.yml`, with the settings of the retirement plugin.

It holds what the operator has set and the secret that the plugin made; the rest are the plugin's defaults. The
pipeline stands in a template of the plugin, which has a step for the forum and one for the notes where those plugins
are enabled. Other keys are those of the whole site, and are left alone.
"""

from retirement.config.document import Node
from retirement.config.draft import Draft, moved, renamed, step, warn_of_unused
from retirement.config.problems import Problems, nearest, shown

_ID, _SECRET = "RETIREMENT_EDX_OAUTH2_CLIENT_ID", "RETIREMENT_EDX_OAUTH2_CLIENT_SECRET"
_DAYS, _CRON = "RETIREMENT_COOL_OFF_DAYS", "RETIREMENT_K8S_CRONJOB_SCHEDULE"
_NO_USE = (
    "RETIREMENT_BASE_IMAGE",
    "RETIREMENT_DOCKER_IMAGE",
    "RETIREMENT_K8S_CRONJOB_HISTORYLIMIT_FAILURE",
    "RETIREMENT_K8S_CRONJOB_HISTORYLIMIT_SUCCESS",
    "RETIREMENT_VERSION",
)
_KEYS = (_ID, _SECRET, _DAYS, _CRON, *_NO_USE)
_NAMES = {
    "lms.url": "LMS_HOST",
    "lms.client_id": _ID,
    "lms.client_secret": _SECRET,
    "cool_off_days": _DAYS,
    "schedule": _CRON,
}
_DEFAULT_ID, _DEFAULT_DAYS = "retirement_service_worker", 30

#: The rows of the plugin's template, each with the plugin that it is there for; none: for every site.
_STEPS = (
    (None, ("RETIRING_ENROLLMENTS", "ENROLLMENTS_COMPLETE", "LMS", "retirement_unenroll")),
    ("forum", ("RETIRING_FORUMS", "FORUMS_COMPLETE", "LMS", "retirement_retire_forum")),
    ("notes", ("RETIRING_NOTES", "NOTES_COMPLETE", "LMS", "retirement_retire_notes")),
    (None, ("RETIRING_LMS_MISC", "LMS_MISC_COMPLETE", "LMS", "retirement_lms_retire_misc")),
    (None, ("RETIRING_LMS", "LMS_COMPLETE", "LMS", "retirement_lms_retire")),
)


def is_one(root: Node) -> bool:
    """Whether it is such a file: by a setting of the plugin, or by two that every file of Tutor has."""
    return any(name in root.entries for name in _KEYS) or {"LMS_HOST", "PLUGINS"} <= root.entries.keys()


def draft(root: Node, problems: Problems) -> Draft:
    """The file as a draft."""
    _look_over(root, problems)
    lms = renamed(root, {_ID: "client_id", _SECRET: "client_secret", "allow_insecure": "allow_insecure"})
    lms.setdefault("client_id", _default(_DEFAULT_ID, _ID))
    if host := root.entries.get("LMS_HOST"):
        scheme = "https" if _https(root) else "http"
        lms["url"] = Node(f"{scheme}://{host.text}", host.line, host.key) if isinstance(host.data, str) else host
    entries = {
        "lms": Node(lms, 1, "file"),
        "cool_off_days": root.entries.get(_DAYS) or _default(_DEFAULT_DAYS, _DAYS),
        "pipeline": _pipeline(root, problems),
        **renamed(root, {_CRON: "schedule", "timezone": "timezone"}),
    }
    return Draft("tutor", Node(entries, 1, "file"), lambda key: _NAMES.get(key, key))


def _default(value: str | int, key: str) -> Node:
    return Node(value, 1, key, str(value))


def _https(root: Node) -> bool:
    return root.child("ENABLE_HTTPS").text.strip().lower() in ("true", "yes", "on", "1")


def _look_over(root: Node, problems: Problems) -> None:
    warn_of_unused([node for name, node in root.entries.items() if name in _NO_USE], problems)
    for name, node in root.entries.items():
        if name.startswith("RETIREMENT_") and name not in _KEYS:
            hint = nearest(shown(name), _KEYS)
            problems.doubt(node.line, node.key, f"is no setting of the plugin, and is not used{hint}")


def _pipeline(root: Node, problems: Problems) -> Node:
    node = root.entries.get("PLUGINS") or Node([], 1, "PLUGINS")
    enabled = {None, *(each.text for each in node.items)}
    steps = [step(row, node) for plugin, row in _STEPS if plugin in enabled]
    names = ", ".join(each.child("start").text for each in steps)
    text = f"the pipeline is the one that the retirement plugin makes with these plugins: {names}"
    problems.warn(node.line, node.key, f"{text}; compare it with the LMS by `retirement config states`")
    return moved(node, steps)
