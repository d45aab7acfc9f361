"""Times of crontab lines, in a zone, across changes of its clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from zhike import clock
from zhike.contracts import Schedule
from zhike.i18n import Text, text


def check(schedule: Schedule) -> Text | None:
    """Return what is wrong with a schedule's times, or None."""
    if (zone := clock.zone(schedule.zone or "UTC")) is None:
        return text(
            "schedule {name!r}: the zone is {zone!r}; expected an IANA zone such as Asia/Shanghai",
            name=schedule.name,
            zone=schedule.zone,
        )
    try:
        next_time(schedule.cron, zone, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return text(
            "schedule {name!r}: {cron!r} is no line of a crontab with five fields ({reason})",
            name=schedule.name,
            cron=schedule.cron,
            reason=str(error),
        )
    return None


def next_time(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first time of a crontab line after an instant, in UTC.

    As in Debian's cron(8), a line for a fixed time is run once also on the days when clocks are changed: right
    after the hour that is left out, and in the first pass of the hour that comes twice. A line with `*` as minute
    or hour follows the time that really passes.

    Args:
        cron: Five fields.
        zone: The zone they are in.
        after: With offset.

    Raises:
        CronSimError: If the line cannot be understood or there is no such time.
    """
    if len(cron.split()) != 5:
        raise CronSimError("Wrong number of fields")
    # In the second pass of an hour the library begins with times of the first one.
    found = next((time for time in CronSim(cron, after.astimezone(zone)) if time > after), None)
    if found is None:
        raise CronSimError("There is no such time")
    return found.astimezone(UTC)
