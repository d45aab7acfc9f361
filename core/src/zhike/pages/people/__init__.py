"""Users, teams, roles, tokens and the audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from zhike.access.roles import ADMIN_AUDIT, ADMIN_ROLES, ADMIN_TOKENS, ADMIN_USERS
from zhike.api import PageQuery
from zhike.contracts import NavItem, PageRoute, Panel
from zhike.i18n import text
from zhike.pages.people import audit, roles, teams, tokens, user_new, user_one, users
from zhike.pages.people.verifying import JOBS

_users = partial(PageRoute, permission=ADMIN_USERS)
_roles = partial(PageRoute, permission=ADMIN_ROLES)
_tokens = partial(PageRoute, permission=ADMIN_TOKENS)
_audit = partial(PageRoute, permission=ADMIN_AUDIT)

PAGES: Sequence[PageRoute] = (
    _users(path="/users", handler=users.show, query=users.UsersQuery),
    _users(path="/users/new", handler=user_new.make),
    _users(method="POST", path="/users/new", handler=user_new.make),
    _users(path="/users/{user_id}", handler=user_one.edit),
    _users(method="POST", path="/users/{user_id}", handler=user_one.edit),
    _users(method="POST", path="/users/{user_id}/disable", handler=user_one.disable),
    _users(method="POST", path="/users/{user_id}/enable", handler=user_one.enable),
    _users(method="POST", path="/users/{user_id}/sessions/end", handler=user_one.end_sessions),
    _users(path="/users/{user_id}/password", handler=user_one.set_password),
    _users(method="POST", path="/users/{user_id}/password", handler=user_one.set_password),
    _users(path="/teams", handler=teams.show),
    _users(path="/teams/new", handler=teams.make, query=teams.TeamQuery),
    _users(method="POST", path="/teams/new", handler=teams.make, query=teams.TeamQuery),
    _users(path="/teams/{team_id}", handler=teams.change),
    _users(method="POST", path="/teams/{team_id}", handler=teams.change),
    _users(method="POST", path="/teams/{team_id}/remove", handler=teams.remove),
    _roles(path="/roles", handler=roles.show),
    _roles(path="/roles/new", handler=roles.make, query=roles.NewQuery),
    _roles(method="POST", path="/roles/new", handler=roles.make, query=roles.NewQuery),
    _roles(path="/roles/{role}", handler=roles.change),
    _roles(method="POST", path="/roles/{role}", handler=roles.change),
    _roles(method="POST", path="/roles/{role}/archive", handler=roles.archive),
    _tokens(path="/tokens", handler=tokens.show, query=PageQuery),
    _tokens(path="/tokens/new", handler=tokens.make),
    _tokens(method="POST", path="/tokens/new", handler=tokens.make),
    _tokens(path="/tokens/{token_id}/revoke", handler=tokens.ask_revoke),
    _tokens(method="POST", path="/tokens/{token_id}/revoke", handler=tokens.revoke),
    _audit(path="/audit", handler=audit.show, query=audit.TrailQuery),
    _audit(path="/audit/chain", handler=audit.chain),
    _audit(method="POST", path="/audit/verify", handler=audit.verify),
)
_nav = partial(NavItem, group="settings")
_who = partial(_nav, under=text("People and access"))
NAV: Sequence[NavItem] = (
    _who(key="pages.users", label=text("Users"), icon="user-cog", path="/users", permission=ADMIN_USERS, order=20),
    _who(key="pages.teams", label=text("Teams"), icon="sitemap", path="/teams", permission=ADMIN_USERS, order=21),
    _who(key="pages.roles", label=text("Roles"), icon="shield-lock", path="/roles", permission=ADMIN_ROLES, order=22),
    _who(key="pages.tokens", label=text("Tokens"), icon="key", path="/tokens", permission=ADMIN_TOKENS, order=23),
    _nav(key="pages.audit", label=text("Audit trail"), icon="history", path="/audit", permission=ADMIN_AUDIT, order=24),
)
PANELS: Sequence[Panel] = ()

__all__ = ["JOBS", "NAV", "PAGES", "PANELS"]
