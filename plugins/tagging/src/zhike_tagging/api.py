"""Routes of groups, tags, and who has them."""

from functools import partial
from typing import Any

from zhike.api import Page, PageQuery, Route
from zhike.serving import writing
from zhike_tagging import actions, schemas, service
from zhike_tagging.actions import ASSIGN, MANAGE, READ
from zhike_tagging.schemas import Assign, Assigned, Changed, Group, Past, Tag, Tags, Why


def _route(method: Any, path: str, do: Any, permission: str, answer: Any, summary: str, **more: Any) -> Route:
    """Return a route: of a handler, or of a service's function that writes what a `body` says."""
    make = partial(writing, do, plugin="tagging", statuses=(404, 409)) if "body" in more else partial(Route, handler=do)
    return make(method=method, path=f"/tagging{path}", permission=permission, answer=answer, summary=summary, **more)


_GROUP, _TAG, _OF = "/groups/{group_key}", "/tags/{tag_id}", "/customers/{customer_id}/tags"
ROUTES = (
    _route("GET", "/groups", service.groups, READ, Page[Group], "Groups of tags", query=PageQuery),
    _route("POST", "/groups", service.create_group, MANAGE, Group, "Make a group", body=schemas.NewGroup),
    _route("PATCH", _GROUP, service.change_group, MANAGE, Group, "Change a group", body=schemas.GroupChange),
    _route("POST", "/presets", service.adopt, MANAGE, Page[Group], "Adopt groups that are shipped", body=schemas.Adopt),
    _route("GET", "/tags", service.tags, READ, Page[Tag], "Tags", query=Tags),
    _route("POST", "/tags", service.create_tag, MANAGE, Tag, "Make a tag", body=schemas.NewTag),
    _route("PATCH", _TAG, service.change_tag, MANAGE, Tag, "Change a tag", body=schemas.TagChange),
    _route("POST", "/assign", actions.assign, ASSIGN, Changed, "Give and take tags by hand", body=Assign),
    _route("GET", _OF, service.assigned, READ, Page[Assigned], "Tags of a customer", query=Past),
    _route("GET", "/assignments/{assignment_id}", service.why, READ, Why, "Why a customer got a tag"),
)
