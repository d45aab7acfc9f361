"""How far back `within` reaches."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from zhike.conditions.durations import anniversaries, at_wall, parse, parse_days
from zhike.conditions.problems import BadCondition

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("duration", "zone", "now", "start"),
    [
        ("P1D", SHANGHAI, "2026-03-14T08:00Z", "2026-03-13T08:00Z"),
        ("P2W", SHANGHAI, "2026-03-14T08:00Z", "2026-02-28T08:00Z"),
        ("PT36H", SHANGHAI, "2026-03-14T08:00Z", "2026-03-12T20:00Z"),
        ("PT1M1S", SHANGHAI, "2026-03-14T08:00Z", "2026-03-14T07:58:59Z"),
        ("P1W2DT3H", SHANGHAI, "2026-03-14T08:00Z", "2026-03-05T05:00Z"),
        # Calendar steps keep the local date and time: 31 March is followed back by 28 or 29 February.
        ("P1M", SHANGHAI, "2026-03-31T12:00+08:00", "2026-02-28T12:00+08:00"),
        ("P1M", SHANGHAI, "2024-03-31T12:00+08:00", "2024-02-29T12:00+08:00"),
        ("P1Y", SHANGHAI, "2024-02-29T12:00+08:00", "2023-02-28T12:00+08:00"),
        ("P1M", SHANGHAI, "2026-01-15T12:00+08:00", "2025-12-15T12:00+08:00"),
        ("P1Y14M", SHANGHAI, "2026-01-15T12:00+08:00", "2023-11-15T12:00+08:00"),
        ("P1M1D", SHANGHAI, "2026-03-31T12:00+08:00", "2026-02-27T12:00+08:00"),
        # 1 March 00:30 in Shanghai is still February in UTC: the local date is what counts.
        ("P1M", SHANGHAI, "2026-03-01T00:30+08:00", "2026-02-01T00:30+08:00"),
        ("P500Y", SHANGHAI, "2026-03-14T08:00Z", "1526-03-14T08:00:00Z"),
        # Summer time began on 29 March 2026: a month back is the same time of day, 31 days less an hour.
        ("P1M", BERLIN, "2026-04-15T12:00+02:00", "2026-03-15T12:00+01:00"),
        ("P31D", BERLIN, "2026-04-15T12:00+02:00", "2026-03-15T12:00+02:00"),
        # Times that clocks skip or show twice are read as the later instant.
        ("P1M", BERLIN, "2026-04-29T02:30+02:00", "2026-03-29T03:30+02:00"),
        ("P1M", NEW_YORK, "2026-12-01T01:30-05:00", "2026-11-01T01:30-05:00"),
    ],
)
def test_start_of_the_window(duration, zone, now, start):
    moment = datetime.fromisoformat(now).astimezone(UTC)
    expected = datetime.fromisoformat(start).astimezone(UTC)
    if start.startswith("1526"):  # Shanghai kept local mean time then: five minutes and 43 seconds more
        expected = datetime(1526, 3, 14, 7, 54, 17, tzinfo=UTC)
    assert parse(duration, "within").before(moment, zone) == expected


@pytest.mark.parametrize(
    "duration",
    [
        "",
        "P",
        "PT",
        "P1",
        "1D",
        "P1H",
        "P1DT",
        "PT1D",
        "P-1D",
        "-P1D",
        "P1.5D",
        "P1D ",
        "p1d",
        "P１D",
        "P1M1Y",
        "P1D1D",
        "P1D\n",
        "P" + "9" * 13 + "D",
        "'; DROP TABLE event; --",
    ],
)
def test_no_duration(duration):
    with pytest.raises(BadCondition, match="expected an ISO 8601 duration"):
        parse(duration, "condition.within")


@pytest.mark.parametrize("duration", ["P501Y", "P500Y1D", "P6001M", "P182622D", "P" + "9" * 12 + "W", "PT15778476001S"])
def test_longer_than_500_years(duration):
    with pytest.raises(BadCondition, match="longer than 500 years"):
        parse(duration, "condition.within")


@pytest.mark.parametrize("duration", ["P500Y", "P6000M", "P182621D", "PT15778476000S"])
def test_as_long_as_500_years(duration):
    assert parse(duration, "condition.within").before(datetime(2026, 1, 1, tzinfo=UTC), SHANGHAI).year <= 1526


@pytest.mark.parametrize("duration", ["P0D", "P0Y0M0W0DT0H0M0S", "PT0S"])
def test_zero(duration):
    with pytest.raises(BadCondition, match="is zero"):
        parse(duration, "condition.within")


@pytest.mark.parametrize(("value", "days"), [("P1D", 1), ("P7D", 7), ("P2W", 14), ("P52W2D", 366), ("PT48H", 2)])
def test_whole_days(value, days):
    assert len(set(anniversaries(date(2027, 3, 1), parse_days(value, "value")))) == min(days, 366)


@pytest.mark.parametrize("value", ["P1M", "P1Y", "PT1H", "P1DT1S", "P367D", "P53W"])
def test_no_whole_days_of_a_year(value):
    with pytest.raises(BadCondition, match="expected 1 to 366 whole days"):
        parse_days(value, "condition.value")


@pytest.mark.parametrize(
    ("today", "value", "dates"),
    [
        ("2026-02-27", None, [227]),
        ("2026-02-28", None, [228, 229]),
        ("2026-02-27", "P3D", [227, 228, 229, 301]),
        ("2028-02-28", None, [228]),
        ("2028-02-28", "P3D", [228, 229, 301]),
        ("2026-12-31", "P2D", [1231, 101]),
        ("2100-02-28", None, [228, 229]),
    ],
)
def test_anniversaries_of_leap_days_come_every_year(today, value, dates):
    length = None if value is None else parse_days(value, "value")
    assert anniversaries(date.fromisoformat(today), length) == dates


def test_wall_clock():
    assert at_wall(datetime.fromisoformat("2026-03-14T08:00"), SHANGHAI) == datetime(2026, 3, 14, tzinfo=UTC)
