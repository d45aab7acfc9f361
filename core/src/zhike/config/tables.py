"""The settings of the installation that are kept in the database."""

from piccolo.columns import JSONB, Integer, Text, Timestamptz
from piccolo.table import Table

__all__ = ["SettingGroup"]


class SettingGroup(Table, tablename="setting_group"):
    """What was said of a group of settings; what is as it comes is left out."""

    key = Text(primary_key=True)
    data = JSONB()
    sealed = JSONB(default="{}", help_text="Secrets, by name.")
    version = Integer()
    updated_at = Timestamptz()
