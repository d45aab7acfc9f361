"""The tables of calendars: opening hours by weekday, and what is different on single dates."""

from piccolo.columns import JSONB, Date, Text, Timestamptz
from piccolo.table import Table

__all__ = ["Calendar", "CalendarDay"]


class Calendar(Table, tablename="calendar"):
    """When work is done in an ordinary week."""

    name = Text(primary_key=True)
    zone = Text(null=True, default=None, help_text="IANA zone of its hours; the deployment's when absent.")
    country = Text(null=True, default=None, help_text="Whose public holidays count; none when absent.")
    weekly = JSONB()
    updated_at = Timestamptz()


class CalendarDay(Table, tablename="calendar_day"):
    """A date on which a calendar differs from its week and from the public holidays."""

    # The key is (calendar, date); Piccolo knows keys of one column only and would add an `id` without one.
    calendar = Text(primary_key=True, unique=False)
    date = Date()
    kind = Text()
    name = Text()
    hours = JSONB(null=True, default=None, help_text="Of a working day; those of an ordinary one when absent.")
