"""Who may use this installation, and what they did."""

from piccolo.columns import JSONB, BigSerial, Bytea, Text, Timestamptz
from piccolo.table import Table

__all__ = ["ApiToken", "AppUser", "Audit"]


class AppUser(Table, tablename="app_user"):
    """A member of staff who can log in."""

    id = BigSerial(primary_key=True)
    login = Text(unique=True)
    name = Text()
    password_hash = Text(secret=True)
    role = Text()
    created_at = Timestamptz()
    disabled_at = Timestamptz(null=True, default=None)


class ApiToken(Table, tablename="api_token"):
    """A program's key to the API; only its hash is kept."""

    id = BigSerial(primary_key=True)
    name = Text()
    hash = Bytea(unique=True, secret=True)
    role = Text()
    created_at = Timestamptz()
    expires_at = Timestamptz(null=True, default=None)
    revoked_at = Timestamptz(null=True, default=None)


class Audit(Table, tablename="audit"):
    """A write, export or permission change by a user, token or command."""

    id = BigSerial(primary_key=True)
    at = Timestamptz()
    actor = Text()
    action = Text()
    object = Text()
    details = JSONB(default="{}")
