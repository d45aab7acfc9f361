"""What the API of tagging takes and gives, and what its events hold."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from zhike.api import Id, PageQuery
from zhike.conditions.explain import Explained
from zhike.tasks.follow_ups import FollowUp
from zhike.ui import asked
from zhike.ui.forms import Colour

Key = Annotated[str, asked("Key", kind="hidden", pattern=r"\A[a-z][a-z0-9_]{0,49}\Z")]
Words = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\A(?=.*\S)[^\x00]*\Z")]
Position = Annotated[int, asked("Place", help="Small numbers come first", ge=0, le=1_000_000)]
Duration = Annotated[str, Meta(pattern=r"\AP\d{1,3}[DWMY]\Z")]
Source = Literal["manual", "rule", "action"]
_KINDS = {"static": "What they are", "behaviour": "What they do", "predictive": "What they may do"}
Kind = Annotated[Literal["static", "behaviour", "predictive"], asked("It says of customers", options=_KINDS)]
_EXCLUSIVE = asked(
    "At most one", help="A tag by hand wins; of rules that hold, that of the tag with the smallest place"
)
_NAME = asked("Name of the tag", help="Conditions know the tag by it; once somebody has had the tag, it stays")
_RULE = asked("By rule", kind="condition", help="Customers have the tag for as long as this holds")
_TIMES = {"P7D": "7 days", "P30D": "30 days", "P90D": "90 days", "P180D": "180 days", "P1Y": "A year"}
_LASTS = asked("Given by hand, it lasts", kind="select", options=_TIMES, placeholder="Until somebody takes it")


class _Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be another way with groups and tags alike.

    Args:
        version: The version that was read; if it is at another one by now, nothing is changed (409).
        archived: Whether it is out of use.
    """

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    name: Words | UnsetType = UNSET
    colour: Colour | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class NewGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group that is to be made.

    Args:
        key: Its word for programs.
        name: Its name for people.
        colour: Of its tags that have none of their own.
        exclusive: Whether a customer has at most one of its tags.
        kind: `static` (region, industry), `behaviour` (what they do) or `predictive` (what they may do).
        position: Its place among the groups.
    """

    key: Key
    name: Annotated[Words, asked("Name of the group", placeholder="Interests")]
    kind: Kind = "static"
    exclusive: Annotated[bool, _EXCLUSIVE] = False
    colour: Colour = ""
    position: Position = 100


class GroupChange(_Change, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way with a group; see `NewGroup`. An archived one's tags are nobody's."""

    exclusive: bool | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET


class Group(NewGroup, frozen=True, kw_only=True):
    """A group: a dimension by which customers are told apart; see `NewGroup`."""

    id: int
    version: int
    archived_at: datetime | None


class NewTag(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tag that is to be made.

    Args:
        group: The key of its group.
        name: What conditions know it by; no two tags in use share one.
        colour: That of the group when empty.
        position: Its place in the group; in an exclusive one the rule of the lowest wins.
        condition: Who gets it by rule; null for a tag that is only given by hand.
        expires: How long it lasts when given by hand, such as `P90D`; null for ever.
        task: What is to be done for whoever gets it.
    """

    group: Key
    name: Annotated[Words, _NAME]
    colour: Colour = ""
    position: Position = 100
    condition: Annotated[Any, _RULE] = None
    expires: Annotated[Duration | None, _LASTS] = None
    task: Annotated[FollowUp | None, asked("Follow up", help="A task whenever somebody gets the tag")] = None


class TagChange(_Change, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way with a tag; see `NewTag`. An archived one is nobody's; its history stays."""

    condition: Any = UNSET
    expires: Duration | UnsetType | None = UNSET
    task: FollowUp | UnsetType | None = UNSET


class Tag(NewTag, frozen=True, kw_only=True):
    """A tag; see `NewTag`.

    Args:
        condition: See `NewTag`; `{"type": "hidden"}` if it asks about what the reader does not see.
        rule_version: Counts the rules it has had; 0 if it never had one.
        author: Who wrote the last of them, or null.
        made_at: When, or null.
        evaluated_at: When rules were last evaluated for everybody, or null.
        problem: Why its rule is paused, or null; whoever has the tag keeps it meanwhile.
    """

    id: int
    rule_version: int
    author: str | None
    made_at: datetime | None
    evaluated_at: datetime | None
    problem: str | None
    version: int
    archived_at: datetime | None


class Tags(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /tagging/tags`.

    Args:
        group: Only those of this group.
        q: Only those whose name has this in it.
        archived: Those that are archived instead.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    group: Key | None = None
    q: Annotated[str, Meta(max_length=100)] = ""
    archived: bool = False


class TagFacts(Struct, frozen=True):
    """The properties of `tag.added` and `tag.removed`.

    Args:
        tag_id: The tag.
        tag: Its name.
        group: The key of its group.
        source: What gave it: `manual`, `rule` or `action`, which is an automation.
    """

    tag_id: int
    tag: str
    group: str
    source: Source


class Assigned(TagFacts, frozen=True, kw_only=True):
    """That a customer has or had a tag; see `TagFacts`.

    Args:
        id: By which it can be asked why.
        colour: The tag's, or the group's.
        valid_from: Since when.
        valid_to: Until when, or null.
        expires_at: When it will end by itself, or null.
        actor: Who gave it.
    """

    id: int
    colour: str
    valid_from: datetime
    valid_to: datetime | None
    expires_at: datetime | None
    actor: str


class Past(PageQuery, frozen=True, kw_only=True):
    """The query parameters of `GET /tagging/customers/{customer_id}/tags`.

    Args:
        history: Also those that have ended; the newest come first in any case.
        limit: Entries of a page; more than 1,000 count as 1,000.
        cursor: The `next` of the page before.
    """

    history: bool = False


class Assign(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /tagging/assign` takes.

    Args:
        customers: Whom it is about; those out of sight are left out.
        add: Names of tags they get.
        remove: Names of tags taken from them, unless by rule they have them.
    """

    customers: Annotated[list[Id], Meta(min_length=1, max_length=1000)]
    add: Annotated[list[Words], Meta(max_length=50)] = []
    remove: Annotated[list[Words], Meta(max_length=50)] = []


class Changed(Struct, frozen=True):
    """How many customers were written.

    Args:
        customers: How many.
    """

    customers: int


class Why(Struct, frozen=True, kw_only=True):
    """Why a customer got a tag.

    Args:
        assignment: What is asked about.
        cause_event_id: The event after which the rule held, or null.
        rule_version: The version of the rule by which it was given, or null.
        author: Who wrote that, or null.
        condition: The rule as it was then, or null; hidden as in `Tag`.
        explained: Of each node of the rule whether it held when the tag was given, and on which value; null if the
            reader may not see that, or there was no rule.
    """

    assignment: Assigned
    cause_event_id: int | None
    rule_version: int | None
    author: str | None
    condition: Any
    explained: Explained | None


class Adopt(Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /tagging/presets` takes.

    Args:
        groups: Keys of the groups that are wanted; all when empty.
    """

    groups: list[Key] = []
