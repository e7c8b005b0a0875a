"""Looks into one database for what is left of one learner; one statement after the other, each with an end."""

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
from retirement.privacy import contains_name
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
    """The learner to look for. Lives in memory only; without a row in the LMS just the user id is known."""

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
        """Whether a text has the username, the e-mail or the name in it, however short they are."""
        return contains_name(text, [name for name in (self.email, self.name, self.username) if name])


def search(name: str, address: str, who: Who, places: Sequence[Place] = PLACES) -> Iterator[Finding]:
    """Looks into every place of a database, which `name` is the catalogue's name of. Blocks; changes nothing.

    Raises `ConfigError` and `Transient`, as `session` does; a place that fails is `UNANSWERED`, and the rest goes on.
    """
    mine = [place for place in places if place.database == name]
    with session(name, address) as connection:
        for place in mine:
            try:
                with in_time(connection):
                    finding = _Look.into(place, who, connection).finding()
            except SQLAlchemyError as error:
                finding = Finding(place, State.UNANSWERED, text=told(error))
            yield finding


#: What a post is in the forum's tables, and its model in Django's content types.
_POSTS = {"forum_commentthread": "commentthread", "forum_comment": "comment"}


@dataclass(frozen=True, slots=True)
class _Look:
    """The look into one place for one learner; `rows` is its table with the columns that this release has."""

    place: Place
    who: Who
    connection: Connection
    rows: TableClause

    @classmethod
    def into(cls, place: Place, who: Who, connection: Connection) -> "_Look":
        """Asks the database for the columns of the place; a table that is missing has none."""
        looking = inspect(connection)
        there = looking.get_columns(place.table) if looking.has_table(place.table) else []
        return cls(place, who, connection, table(place.table, *(column(str(each["name"])) for each in there)))

    def finding(self) -> Finding:
        """What is in the place."""
        if not self._is_there():
            return Finding(self.place, State.NOT_THERE, text="this release has no such table or column")
        owned = self._owned()
        if not owned or (self.place.test is Test.NAMED and self.who.username is None):
            why = "the LMS has no row any more with the learner's username or e-mail"
            return Finding(self.place, State.NOT_ASKED, text=why)
        count = self._count(or_(*owned, *self._of_posts()))
        return Finding(self.place, State.FOUND if count else State.CLEAN, count)

    def _is_there(self) -> bool:
        """Whether the table has a column that is looked at, and one by which a learner's rows are found."""
        finding_columns = (name for name, _ in self.place.found_by)
        return any(map(self._has, self.place.columns)) and any(map(self._has, finding_columns))

    def _has(self, name: str) -> bool:
        return name in self.rows.c

    def _owned(self) -> list[ColumnElement[bool]]:
        """One condition for each column of the table that names a learner, where the value of this one is known."""
        known = self.who.values
        return [self.rows.c[each].in_(known[by]) for each, by in self.place.found_by if self._has(each) and by in known]

    def _count(self, owned: ColumnElement[bool]) -> int:
        mine = select(*(self.rows.c[each] for each in self.place.columns if self._has(each))).where(owned)
        return self._named(mine) if self.place.test is Test.NAMED else self._counted(mine)

    def _counted(self, mine: Select[Any]) -> int:
        if self.place.test is Test.KEPT:
            mine = mine.where(or_(*(_kept(self.rows.c[each.name], self.who) for each in mine.selected_columns)))
        some = mine.with_only_columns(literal_column("1").label("one")).limit(LIMIT).subquery()
        return int(self.connection.execute(select(func.count()).select_from(some)).scalar_one())

    def _named(self, mine: Select[Any]) -> int:
        """Read into memory, since no two databases search words alike."""
        texts = self.connection.execute(mine.limit(LIMIT))
        return sum(any(self.who.named_in(str(text)) for text in row if text) for row in texts)

    def _of_posts(self) -> list[ColumnElement[bool]]:
        """The history of the learner's own posts, by any editor; none where the place has no posts."""
        if not self.place.of_posts or not self._has_posts():
            return []
        kinds = table("django_content_type", column("id"), column("app_label"), column("model"))
        found = []
        for name, model in _POSTS.items():
            posts = table(name, column("id"), column("author_id"))
            kind = select(kinds.c.id).where(kinds.c.app_label == "forum", kinds.c.model == model)
            own = select(posts.c.id).where(posts.c.author_id == self.who.user_id)
            found.append(and_(self.rows.c.content_type_id.in_(kind), self.rows.c.content_object_id.in_(own)))
        return found

    def _has_posts(self) -> bool:
        looking = inspect(self.connection)
        tables = all(looking.has_table(name) for name in (*_POSTS, "django_content_type"))
        return tables and self._has("content_type_id") and self._has("content_object_id")


def _kept(held: ColumnElement[Any], who: Who) -> ColumnElement[bool]:
    # JSON in newer releases is compared as the text that it is, and an empty object there holds nothing.
    text = cast(held, String)
    retired = [text.not_like(form) for form in _RETIRED]
    return and_(held.is_not(None), text.not_in(["", "{}", "null", _BLANKED, *who.retired]), *retired)
