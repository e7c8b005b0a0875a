"""The one repair that every sample of the reference needs: the misc step, which does the work of the mailings step.

The reference's samples have `retirement_retire_mailings`, whose route the LMS lost with Ironwood, and not the step
that took over its work. The states of the new step come right before those of the account step.
"""

from dataclasses import replace

from retirement.config.document import Node
from retirement.config.draft import Draft, chosen, moved, step

MISC, ACCOUNT = "retirement_lms_retire_misc", "retirement_lms_retire"
#: As in every release of the Ansible role and of Tutor's plugin.
STATES = ("RETIRING_LMS_MISC", "LMS_MISC_COMPLETE")


def with_misc(draft: Draft) -> Draft:
    """The draft with the misc step before the account step, and its states in `lms.states` where those are given."""
    node = draft.root.child("pipeline")
    operations = [_operation_of_the_lms(each) for each in node.items]
    if not operations or MISC in operations:
        return draft
    place = operations.index(ACCOUNT) if ACCOUNT in operations else len(operations)
    before, rest = node.items[:place], node.items[place:]
    account = rest[0] if rest else Node({}, node.line, node.key)
    misc = step((*STATES, "LMS", MISC), Node(None, node.line, "--add-misc"))
    # Where the file says what the account step comes after, the misc step comes after that.
    misc = moved(misc, misc.entries | chosen(account, ("after",)))
    pipeline = moved(node, [*before, misc, *map(_after_misc, rest[:1]), *rest[1:]])
    states = _with_states(draft.root.child("lms"), account.child("start").text)
    return replace(draft, root=moved(draft.root, draft.root.entries | states | {"pipeline": pipeline}))


def _operation_of_the_lms(row: Node) -> str:
    """What a step does in the LMS; nothing where it calls another service."""
    return row.child("operation").text if row.child("service").text == "LMS" else ""


def _after_misc(account: Node) -> Node:
    """The account step, after the misc step where the file says what it comes after."""
    after = account.entries.get("after")
    if after is None:
        return account
    waits = Node([Node(STATES[0], after.line, after.key, STATES[0])], after.line, after.key)
    return moved(account, account.entries | {"after": waits})


def _with_states(lms: Node, account: str) -> dict[str, Node]:
    """The section of the LMS with the states of the misc step, where its list has those of the account step only."""
    states = lms.child("states")
    names = [each.text for each in states.items]
    if account not in names or set(STATES) & set(names):
        return {}
    place = names.index(account)
    new = [Node(text, states.line, states.key, text) for text in STATES]
    items = [*states.items[:place], *new, *states.items[place:]]
    return {"lms": moved(lms, lms.entries | {"states": moved(states, items)})}
