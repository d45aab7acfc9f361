"""Public holidays and make-up working days of China, against the notices of the State Council's General Office."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from zhike.calendar.chinese import public_year
from zhike.calendar.hours import parse_hours
from zhike.calendar.working import SpecialDay, WorkingCalendar

OFFICE = parse_hours(["09:00-12:00", "13:00-18:00"], "hours")
# 国办发明电〔2023〕7号 of 2023-10-25, 国办发明电〔2024〕12号 of 2024-11-12, and the notice of 2025-11-04:
# first and last day off, and the weekend days that are worked. Where a notice says 与周末连休, the weekend is in here.
NOTICES = {
    2024: (
        ["0101-0101", "0210-0217", "0404-0406", "0501-0505", "0608-0610", "0915-0917", "1001-1007"],
        ["0204", "0218", "0407", "0428", "0511", "0914", "0929", "1012"],
    ),
    2025: (
        ["0101-0101", "0128-0204", "0404-0406", "0501-0505", "0531-0602", "1001-1008"],
        ["0126", "0208", "0427", "0928", "1011"],
    ),
    2026: (
        ["0101-0103", "0215-0223", "0404-0406", "0501-0505", "0619-0621", "0925-0927", "1001-1007"],
        ["0104", "0214", "0228", "0509", "0920", "1010"],
    ),
}


def parse(year: int, day: str) -> date:
    return date(year, int(day[:2]), int(day[2:]))


def days_off(year: int) -> set[date]:
    spans = [(parse(year, span[:4]), parse(year, span[5:])) for span in NOTICES[year][0]]
    return {first + timedelta(days=n) for first, last in spans for n in range((last - first).days + 1)}


def office(**days: SpecialDay) -> WorkingCalendar:
    special = {date.fromisoformat(key[1:]): day for key, day in days.items()}
    return WorkingCalendar(ZoneInfo("Asia/Shanghai"), [OFFICE] * 5 + [(), ()], country="CN", days=special)


def at(local: str) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Asia/Shanghai"))


@pytest.mark.parametrize("year", NOTICES)
def test_every_day_of_a_year_is_as_the_notice_says(year: int) -> None:
    public = public_year(year)
    assert set(public.holidays) == days_off(year)
    assert public.working == {parse(year, day) for day in NOTICES[year][1]}
    every_day = WorkingCalendar(ZoneInfo("Asia/Shanghai"), [OFFICE] * 7, country="CN")
    first = date(year, 1, 1)
    dates = [first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days)]
    assert {day for day in dates if not every_day.rule(day).hours} == days_off(year)
    closed = {day for day in dates if not office().rule(day).hours}
    weekend = {day for day in dates if day.weekday() >= 5}
    assert closed == (weekend | days_off(year)) - {parse(year, day) for day in NOTICES[year][1]}
    assert office().provisional_years(year, year) == []


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        ("2024-02-08 18:00", 8, "2024-02-09 18:00"),  # New Year's Eve was no public holiday yet
        ("2024-02-09 18:00", 8, "2024-02-18 18:00"),  # a Sunday, worked
        ("2024-09-30 18:00", 8, "2024-10-08 18:00"),
        ("2024-10-11 18:00", 8, "2024-10-12 18:00"),  # a Saturday, worked
        ("2025-01-25 00:00", 16, "2025-01-27 18:00"),  # Sunday the 26th, worked
        ("2025-01-27 18:00", 8, "2025-02-05 18:00"),
        ("2025-09-27 00:00", 8, "2025-09-28 18:00"),
        ("2025-09-30 18:00", 24, "2025-10-11 18:00"),
        ("2026-02-13 18:00", 16, "2026-02-24 18:00"),  # Saturday the 14th, worked
        ("2026-09-19 00:00", 8, "2026-09-20 18:00"),
        ("2026-09-30 18:00", 24, "2026-10-10 18:00"),
    ],
)
def test_working_time_across_spring_festival_and_national_day(start: str, hours: int, end: str) -> None:
    assert office().add_working_time(at(start), timedelta(hours=hours)) == at(end)
    assert office().working_time_between(at(start), at(end)) == timedelta(hours=hours)


def test_holidays_have_names_in_the_readers_language_whatever_that_of_the_machine() -> None:
    assert public_year(2026).holidays[date(2026, 10, 1)] == "国庆节"
    assert public_year(2026, "en").holidays[date(2026, 10, 1)] == "National Day"
    assert "2026-01-04" in public_year(2026, "en").holidays[date(2026, 1, 2)]
    assert office().rule(date(2026, 2, 14)) == ("make_up", "", OFFICE)
    assert office().rule(date(2026, 2, 17), "en").name == "Chinese New Year (Spring Festival)"


@pytest.mark.parametrize("year", [2027, 2030, 2100])
def test_a_year_without_a_notice_has_the_statutory_holidays_and_is_provisional(year: int) -> None:
    calendar = office()
    assert calendar.provisional_years(year, year) == [year]
    assert calendar.rule(date(year, 10, 1)) == ("holiday", "国庆节", ())
    assert public_year(year).working == frozenset()
    statutory = {date(year, 1, 1), date(year, 5, 1), date(year, 5, 2), *(date(year, 10, day) for day in (1, 2, 3))}
    assert statutory <= public_year(year).holidays.keys()


@pytest.mark.parametrize("year", [1970, 2000, 2101, 2199])
def test_years_that_the_package_does_not_know_are_no_error(year: int) -> None:
    calendar = office()
    assert calendar.add_working_time(datetime(year, 6, 1, tzinfo=UTC), timedelta(hours=8)).year == year
    assert calendar.provisional_years(year, year) == [year]


def test_imported_make_up_days_settle_a_year_and_other_dates_do_not() -> None:
    notice = {
        "d20301004": SpecialDay("holiday", "国庆节"),
        "d20301007": SpecialDay("holiday", "国庆节"),
        "d20300929": SpecialDay("working", "调休"),
    }
    assert office(**notice).provisional_years(2029, 2031) == [2029, 2031]
    assert office(d20301004=SpecialDay("holiday", "")).provisional_years(2030, 2030) == [2030]
    assert office(**notice).add_working_time(at("2030-09-28 00:00"), timedelta(hours=24)) == at("2030-10-08 18:00")


def test_a_calendar_of_no_country_knows_no_holidays() -> None:
    calendar = WorkingCalendar(ZoneInfo("Asia/Shanghai"), [OFFICE] * 7)
    assert calendar.is_open(at("2026-10-01 10:00"))
    assert calendar.provisional_years(2026, 2030) == []


def test_the_large_library_is_loaded_only_when_it_is_needed() -> None:
    code = "import sys, zhike.calendar.plugin, zhike.calendar.service; sys.exit('holidays' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
