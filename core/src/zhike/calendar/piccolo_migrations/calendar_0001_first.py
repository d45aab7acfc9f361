"""The first tables of calendars."""

from zhike.orm import MigrationManager, sql_migration

ID = "calendar_0001_first"
VERSION = "1.38.0"
DESCRIPTION = "calendars, their dates, and the default calendar"

# Eight hours a day and forty a week, as China's Labour Law has it, with the usual hour for lunch.
SQL = """
CREATE TABLE calendar (
  name text COLLATE "C" PRIMARY KEY,
  zone text,
  country text CHECK (country = 'CN'),
  weekly jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE calendar_day (
  calendar text COLLATE "C" REFERENCES calendar ON DELETE CASCADE,
  date date,
  kind text NOT NULL CHECK (kind IN ('holiday', 'working')),
  name text NOT NULL DEFAULT '',
  hours jsonb CHECK (hours IS NULL OR kind = 'working'),
  PRIMARY KEY (calendar, date)
);
INSERT INTO calendar (name, country, weekly)
SELECT 'default', 'CN', jsonb_object_agg(weekday, '["09:00-12:00", "13:00-18:00"]'::jsonb)
FROM unnest(ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday']) AS weekday;
"""


async def forwards() -> MigrationManager:
    return sql_migration(ID, "calendar", SQL)
