"""Who may use this installation, what they may do, and what they did."""

from piccolo.columns import JSONB, Array, BigInt, BigSerial, Bytea, Integer, Text, Timestamptz
from piccolo.table import Table

__all__ = [
    "ApiToken",
    "AppUser",
    "Audit",
    "AuditHead",
    "DataKey",
    "FieldRule",
    "LoginThrottle",
    "Role",
    "RolePermission",
    "Secret",
    "Session",
    "Team",
]


class AppUser(Table, tablename="app_user"):
    """A member of staff who can log in."""

    id = BigSerial(primary_key=True)
    login = Text(unique=True)
    name = Text()
    password_hash = Text(secret=True)
    role = Text()
    team_id = BigInt(null=True, default=None)
    created_at = Timestamptz()
    disabled_at = Timestamptz(null=True, default=None)
    locale = Text(null=True, default=None)
    zone = Text(null=True, default=None)
    theme = Text(default="auto", help_text="light, dark or auto.")
    preferences = JSONB(default="{}")
    version = Integer(default=1)


class Team(Table, tablename="team"):
    """A team of users; teams are a tree."""

    id = BigSerial(primary_key=True)
    name = Text()
    parent_id = BigInt(null=True, default=None)
    created_at = Timestamptz()
    version = Integer(default=1)


class Role(Table, tablename="role"):
    """A role of the installation's own; those that are shipped are in `zhike.access.roles`."""

    name = Text(primary_key=True)
    label = Text()
    version = Integer(default=1)
    created_at = Timestamptz()
    archived_at = Timestamptz(null=True, default=None)


class RolePermission(Table, tablename="role_permission"):
    """What a role grants, and for which customers."""

    role = Text()
    # The key is (role, permission); Piccolo knows keys of one column only.
    permission = Text(primary_key=True, unique=False)
    scope = Text()


class FieldRule(Table, tablename="field_rule"):
    """A field of customers that a role sees masked or not at all."""

    role = Text()
    # The key is (role, field).
    field = Text(primary_key=True, unique=False)
    rule = Text()


class ApiToken(Table, tablename="api_token"):
    """A program's key to the API; only its hash is kept."""

    id = BigSerial(primary_key=True)
    name = Text()
    hash = Bytea(unique=True, secret=True)
    role = Text()
    kind = Text(default="service")
    user_id = BigInt(null=True, default=None, help_text="The user it acts for.")
    created_at = Timestamptz()
    expires_at = Timestamptz(null=True, default=None)
    revoked_at = Timestamptz(null=True, default=None)
    origins = Array(base_column=Text(), help_text="Whose pages may use it; of kind `collect` only.")


class Session(Table, tablename="session"):
    """A user's login in one browser; only the hash of its token is kept."""

    id = BigSerial(primary_key=True)
    hash = Bytea(unique=True, secret=True)
    user_id = BigInt()
    created_at = Timestamptz()
    seen_at = Timestamptz()
    address = Text()
    agent = Text()


class LoginThrottle(Table, tablename="login_throttle"):
    """How often logins failed of late, by login and address; the key is a hash of these."""

    key = Bytea(primary_key=True)
    failures = Integer()
    at = Timestamptz()
    until = Timestamptz()


class Audit(Table, tablename="audit"):
    """A write, export or permission change by a user, token or command."""

    id = BigSerial(primary_key=True)
    at = Timestamptz()
    actor = Text()
    action = Text()
    object = Text()
    details = JSONB(null=True, default=None)
    salt = Bytea(null=True, default=None)
    digest = Bytea()
    sequence = BigInt(null=True, default=None)
    chain = Bytea(null=True, default=None)


class AuditHead(Table, tablename="audit_head"):
    """How far the chain of the audit trail has come; one row."""

    id = BigSerial(primary_key=True)
    sequence = BigInt()
    chain = Bytea()
    at = Timestamptz()
    mac = Bytea()


class DataKey(Table, tablename="data_key"):
    """A key that seals or hashes values, wrapped with a key of the deployment's ring."""

    id = BigSerial(primary_key=True)
    purpose = Text()
    wrapped = Bytea(secret=True)
    wrapped_by = Text()
    created_at = Timestamptz()
    retired_at = Timestamptz(null=True, default=None)


class Secret(Table, tablename="secret"):
    """What a plugin keeps secret, such as the password of another system."""

    id = BigSerial(primary_key=True)
    plugin = Text()
    name = Text()
    sealed = Text(secret=True)
    version = BigInt(default=1)
