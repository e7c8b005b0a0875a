"""What an answer has to be to prove that a request was done, or that a read was answered.

A success is what the contract of the service says and nothing else: a gateway's challenge is a 202 without a body,
a maintenance page may be a 200, and neither has done anything.
"""

from dataclasses import dataclass, field

from retirement.wire.reply import Reply

#: What a JSON body is called in a reason.
_NAMES: dict[type, str] = {dict: "a JSON object", list: "a JSON list"}


@dataclass(frozen=True, slots=True)
class Success:
    """Statuses and kind of body that a request is answered with; `nothing`, `an_object`, `a_list` make one.

    `one | other` is for requests that are answered in two ways.
    """

    statuses: frozenset[int]
    #: What the JSON body is, one of these; none: the body is empty.
    bodies: tuple[type, ...] = ()
    #: Names that a JSON object has to have.
    names: frozenset[str] = frozenset()
    others: tuple["Success", ...] = field(default=())

    def shown_by(self, reply: Reply) -> bool:
        """Whether this answer is that success."""
        return self._shown_by(reply) or any(each.shown_by(reply) for each in self.others)

    def _shown_by(self, reply: Reply) -> bool:
        if reply.status not in self.statuses:
            return False
        if not self.bodies:
            return reply.kind == "empty"
        fits = reply.kind == "json" and isinstance(reply.data, self.bodies)
        return fits and self.names <= reply.mapping.keys()

    def __or__(self, other: "Success") -> "Success":
        return Success(self.statuses, self.bodies, self.names, (*self.others, other))

    def __str__(self) -> str:
        body = " or ".join(_NAMES[each] for each in self.bodies) or "an empty body"
        named = f" that has {', '.join(sorted(self.names))}" if self.names else ""
        statuses = " or ".join(map(str, sorted(self.statuses)))
        return " or ".join([f"{body}{named} with {statuses}", *map(str, self.others)])


def nothing(*statuses: int) -> Success:
    """An empty body, by default with 204."""
    return Success(frozenset(statuses or (204,)))


def an_object(*names: str, statuses: tuple[int, ...] = (200,)) -> Success:
    """A JSON object that has these names."""
    return Success(frozenset(statuses), (dict,), frozenset(names))


def a_list(*statuses: int) -> Success:
    """A JSON list, by default with 200."""
    return Success(frozenset(statuses or (200,)), (list,))
