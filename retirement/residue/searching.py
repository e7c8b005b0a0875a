"""Looks into one database for what is left of one learner; one statement after the other, each with an end."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    TableClause,
    and_,
    cast,
    column,
    func,
    inspect,
    literal_column,
    or_,
    select,
    table,
)
from sqlalchemy.exc import SQLAlchemyError

from retirement.learner import Learner
from retirement.residue.catalogue import PLACES, Identity, Place, Test
from retirement.residue.sessions import in_time, session, told

#: Rows of one place that are counted; more are "at least" so many.
LIMIT = 1000
#: What the forum writes in the place of a post.
_BLANKED = "[deleted]"
#: What retired names and addresses look like, unless a site's settings say otherwise (contract lms.md 2.10).
_RETIRED = ("retired__user_%", "%@retired.invalid")


class State(StrEnum):
    """What looking into one place came to."""

    FOUND = "found"
    CLEAN = "clean"
    NOT_THERE = "not there"  #: this release has no such table or column
    NOT_ASKED = "not asked"  #: it is found by what the LMS does not know any more
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Finding:
    """One place; `count` of rows, `LIMIT` meaning at least so many. Nothing personal."""

    place: Place
    state: State
    count: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Who:
    """Whom to look for. Lives in memory only; without a row in the LMS just the user id is known."""

    user_id: int
    username: str | None = None
    email: str | None = None
    name: str | None = None
    retired: tuple[str, ...] = ()  #: username and e-mail that took the place of the others
    values: dict[Identity, tuple[Any, ...]] = field(init=False)

    def __post_init__(self) -> None:
        """Databases compare with or without case: the lower-case form is asked for as well."""
        known = {Identity.USERNAME: self.username, Identity.EMAIL: self.email}
        values: dict[Identity, tuple[Any, ...]] = {Identity.USER_ID: (self.user_id,)}
        values |= {by: tuple(dict.fromkeys((text, text.lower()))) for by, text in known.items() if text}
        if self.retired:
            values[Identity.RETIRED_USERNAME] = self.retired[:1]
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, learner: Learner) -> "Who":
        """The learner as the LMS still describes them."""
        retired = (learner.retired_username, learner.retired_email)
        return cls(learner.user_id, learner.username, learner.email, learner.name, retired)

    def __repr__(self) -> str:
        return f"<Who {self.user_id}>"

    def named_in(self, text: str) -> bool:
        """Whether a text has the username, the e-mail or the name in it, as words of their own, in any case."""
        words = "|".join(re.escape(each) for each in (self.email, self.name, self.username) if each)
        return bool(words) and re.search(rf"(?<!\w)(?:{words})(?!\w)", text, re.IGNORECASE) is not None


def search(name: str, address: str, who: Who, places: Sequence[Place] = PLACES) -> Iterator[Finding]:
    """Looks into every place of a database, which `name` is the catalogue's name of. Blocks; changes nothing.

    Raises `ConfigError` and `Transient`, as `session` does; a place that fails is `UNANSWERED`, and the rest goes on.
    """
    mine = [place for place in places if place.database == name]
    with session(name, address) as connection:
        for place in mine:
            try:
                with in_time(connection):
                    finding = _look(connection, place, who)
            except SQLAlchemyError as error:
                finding = Finding(place, State.UNANSWERED, text=told(error))
            yield finding


def _look(connection: Connection, place: Place, who: Who) -> Finding:
    there = _columns(connection, place.table)
    columns = [each for each in place.columns if each in there]
    found_by = [(each, by) for each, by in place.found_by if each in there]
    if not columns or not found_by:
        return Finding(place, State.NOT_THERE, text="this release has no such table or column")
    rows = table(place.table, *(column(each) for each in there))
    owned: list[ColumnElement[bool]] = [rows.c[each].in_(who.values[by]) for each, by in found_by if by in who.values]
    if not owned or (place.test is Test.NAMED and who.username is None):
        return Finding(place, State.NOT_ASKED, text="the LMS has no row any more that says how they were called")
    if place.of_posts and _has_posts(connection, there):
        owned += _of_posts(rows, who)
    mine = select(*(rows.c[each] for each in columns)).where(or_(*owned))
    count = _named(connection, mine, who) if place.test is Test.NAMED else _counted(connection, mine, rows, place, who)
    return Finding(place, State.FOUND if count else State.CLEAN, count)


def _columns(connection: Connection, name: str) -> list[str]:
    looking = inspect(connection)
    return [str(each["name"]) for each in looking.get_columns(name)] if looking.has_table(name) else []


def _counted(connection: Connection, mine: Select[Any], rows: TableClause, place: Place, who: Who) -> int:
    if place.test is Test.KEPT:
        mine = mine.where(or_(*(_kept(rows.c[each.name], who) for each in mine.selected_columns)))
    some = mine.with_only_columns(literal_column("1").label("one")).limit(LIMIT).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _kept(held: ColumnElement[Any], who: Who) -> ColumnElement[bool]:
    # JSON in newer releases is compared as the text that it is, and an empty object there holds nothing.
    text = cast(held, String)
    retired = [text.not_like(form) for form in _RETIRED]
    return and_(held.is_not(None), text.not_in(["", "{}", "null", _BLANKED, *who.retired]), *retired)


def _named(connection: Connection, mine: Select[Any], who: Who) -> int:
    """Read into memory, since no two databases search words alike."""
    texts = connection.execute(mine.limit(LIMIT))
    return sum(any(who.named_in(str(text)) for text in row if text) for row in texts)


#: What a post is in the forum's tables, and its model in Django's content types.
_POSTS = {"forum_commentthread": "commentthread", "forum_comment": "comment"}


def _has_posts(connection: Connection, there: Sequence[str]) -> bool:
    looking = inspect(connection)
    tables = all(looking.has_table(name) for name in (*_POSTS, "django_content_type"))
    return tables and {"content_type_id", "content_object_id"} <= set(there)


def _of_posts(rows: TableClause, who: Who) -> list[ColumnElement[bool]]:
    """The history of the learner's own posts, whoever has edited them."""
    kinds = table("django_content_type", column("id"), column("app_label"), column("model"))
    found = []
    for name, model in _POSTS.items():
        posts = table(name, column("id"), column("author_id"))
        kind = select(kinds.c.id).where(kinds.c.app_label == "forum", kinds.c.model == model)
        own = select(posts.c.id).where(posts.c.author_id == who.user_id)
        found.append(and_(rows.c.content_type_id.in_(kind), rows.c.content_object_id.in_(own)))
    return found
