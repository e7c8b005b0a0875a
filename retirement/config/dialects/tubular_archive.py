"""The key of the reference's archive. It means something with `expire_days` or another key of ours in it only.

Without one it is not used: files that name learners, kept for ever, are not written because a key was always there.
"""

from retirement.config.document import Node
from retirement.config.draft import moved

KEY = "s3_archive"
#: What the scripts read of it, and what we call that.
_THEIRS = {"bucket_name": "bucket", "region": "region"}
#: What our keys are called in such a file.
NAMES = {"archive.bucket": f"{KEY}.bucket_name", "archive.expire_days": f"{KEY}.expire_days"}


def is_given(root: Node) -> bool:
    """Whether the file says more of the archive than the scripts read."""
    return bool(root.child(KEY).entries.keys() - _THEIRS.keys())


def section(root: Node) -> Node:
    """The section `archive`."""
    node = root.child(KEY)
    return moved(node, {_THEIRS.get(name, name): each for name, each in node.entries.items()})
