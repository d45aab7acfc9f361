"""Working time: what is open, laws of adding and measuring, agreement with a model that counts minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from zhike.calendar.hours import Hours, parse_hours, show_hours
from zhike.calendar.working import SpecialDay, WorkingCalendar
from zhike.errors import BadRequest

OFFICE = ("09:00-12:00", "13:00-18:00")
MINUTE = timedelta(minutes=1)
laws = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])


def hours(*written: str) -> Hours:
    return parse_hours(written, "hours")


def office(zone: str = "Asia/Shanghai", **days: SpecialDay) -> WorkingCalendar:
    """Return Monday to Friday 9 to 12 and 13 to 18, without public holidays; `d20240101=...` is a special day."""
    special = {date.fromisoformat(key[1:]): day for key, day in days.items()}
    return WorkingCalendar(ZoneInfo(zone), [hours(*OFFICE)] * 5 + [(), ()], days=special)


def at(local: str, zone: str = "Asia/Shanghai", fold: int = 0) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold)


@pytest.mark.parametrize(
    ("start", "duration", "end"),
    [
        ("2026-03-03 09:00", timedelta(hours=3), "2026-03-03 12:00"),
        ("2026-03-03 09:00", timedelta(hours=3, minutes=1), "2026-03-03 13:01"),
        ("2026-03-03 12:30", timedelta(hours=5), "2026-03-03 18:00"),
        ("2026-03-03 17:59:59.999999", timedelta(microseconds=2), "2026-03-04 09:00:00.000001"),
        ("2026-03-06 17:00", timedelta(hours=2), "2026-03-09 10:00"),
        ("2026-03-07 11:00", timedelta(hours=8), "2026-03-09 18:00"),
        ("2026-03-07 11:00", timedelta(), "2026-03-07 11:00"),
        ("2026-03-02 00:00", timedelta(hours=40), "2026-03-06 18:00"),
        ("2026-12-31 17:00", timedelta(hours=1), "2026-12-31 18:00"),
    ],
)
def test_working_time_is_added_within_the_hours(start: str, duration: timedelta, end: str) -> None:
    found = office().add_working_time(at(start), duration)
    assert (found, found.tzinfo) == (at(end), UTC)
    assert office().working_time_between(at(start), at(end)) == duration


def test_an_instant_is_open_from_the_first_moment_to_before_the_last() -> None:
    calendar = office()
    opened = {
        clock: calendar.is_open(at(f"2026-03-03 {clock}")) for clock in ("08:59:59", "09:00", "11:59:59", "12:00")
    }
    assert opened == {"08:59:59": False, "09:00": True, "11:59:59": True, "12:00": False}
    assert calendar.next_open(at("2026-03-03 09:30")) == at("2026-03-03 09:30")
    assert calendar.next_open(at("2026-03-03 12:00")) == at("2026-03-03 13:00")
    assert calendar.next_open(at("2026-03-06 18:00")) == at("2026-03-09 09:00")


def test_a_date_may_be_a_holiday_a_working_day_or_have_hours_of_its_own() -> None:
    calendar = office(
        d20260303=SpecialDay("holiday", "Founding day"),
        d20260307=SpecialDay("working", "Stocktaking"),
        d20260304=SpecialDay("working", "Short day", hours("10:00-11:00")),
    )
    assert calendar.add_working_time(at("2026-03-02 17:00"), timedelta(hours=2)) == at("2026-03-04 11:00")
    assert calendar.working_time_between(at("2026-03-07 00:00"), at("2026-03-08 00:00")) == timedelta(hours=8)
    assert calendar.rule(date(2026, 3, 7)) == ("override", "Stocktaking", hours(*OFFICE))
    assert calendar.rule(date(2026, 3, 5)) == ("weekly", "", hours(*OFFICE))


def test_hours_over_midnight_belong_to_the_day_they_begin_on() -> None:
    calendar = WorkingCalendar(
        ZoneInfo("Asia/Shanghai"),
        [hours("22:00-06:00")] * 5 + [(), ()],
        days={
            date(2026, 3, 4): SpecialDay("holiday", ""),
            date(2026, 3, 5): SpecialDay("working", "", hours("05:00-07:00")),
        },
    )
    assert calendar.add_working_time(at("2026-03-02 23:00"), timedelta(hours=8)) == at("2026-03-03 23:00")
    assert calendar.is_open(at("2026-03-04 05:00"))  # Tuesday's night ends on the holiday
    assert not calendar.is_open(at("2026-03-04 23:00"))
    assert calendar.is_open(at("2026-03-07 05:59"))  # Friday's night ends on Saturday
    assert calendar.next_open(at("2026-03-07 06:00")) == at("2026-03-09 22:00")


def test_overlapping_hours_count_once() -> None:
    calendar = WorkingCalendar(ZoneInfo("UTC"), [hours("20:00-08:00", "06:00-10:00", "09:00-11:00")] * 7)
    assert calendar.working_time_between(at("2026-03-03", "UTC"), at("2026-03-04", "UTC")) == timedelta(hours=15)
    assert show_hours(hours("20:00-08:00", "06:00-24:00")) == ["20:00-08:00", "06:00-24:00"]


@pytest.mark.parametrize(
    "written",
    [
        "9:00-12:00",
        "09:00",
        "09:00-12:60",
        "24:00-25:00",
        "09:00-09:00",
        "09:00 - 12:00",
        "09:00-12:00\n",
        "٠٩:00-12:00",
    ],
)
def test_hours_that_are_none_are_refused_with_their_place(written: str) -> None:
    with pytest.raises(BadRequest, match=r"^weekly\.monday\[1\](: 09:00-09:00 ends| is .*; expected hours)"):
        parse_hours(["09:00-12:00", written], "weekly.monday")


def test_a_calendar_without_any_hours_is_refused() -> None:
    with pytest.raises(BadRequest, match="needs open hours"):
        WorkingCalendar(ZoneInfo("UTC"), [()] * 7)


def test_a_calendar_that_never_opens_again_says_so() -> None:
    closed = {date(2199, 12, day): SpecialDay("holiday", "") for day in range(1, 32)}
    calendar = WorkingCalendar(ZoneInfo("UTC"), [hours("09:00-10:00")] * 7, days=closed)
    with pytest.raises(BadRequest, match="1970 to 2199"):
        calendar.next_open(datetime(2199, 12, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.add_working_time(at("2026-03-03"), -MINUTE), "negative"),
        (lambda c: c.add_working_time(at("2026-03-03"), timedelta.max), "1970 to 2199"),
        (lambda c: c.add_working_time(at("2026-03-03"), timedelta(days=50_000)), "1970 to 2199"),
        (lambda c: c.add_working_time(datetime.max.replace(tzinfo=UTC), MINUTE), "1970 to 2199"),
        (lambda c: c.working_time_between(datetime.min.replace(tzinfo=UTC), at("2026-03-03")), "1970 to 2199"),
        (lambda c: c.is_open(datetime(1969, 12, 31, tzinfo=UTC)), "1970 to 2199"),
        (lambda c: c.next_open(datetime(2200, 1, 1, tzinfo=UTC)), "1970 to 2199"),
    ],
)
def test_absurd_durations_and_years_are_refused(call: Callable[[WorkingCalendar], object], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        call(office())


def test_an_instant_without_zone_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no zone"):
        office().is_open(datetime(2026, 3, 3))  # noqa: DTZ001


def test_years_far_away_are_counted() -> None:
    calendar = office()
    assert calendar.is_open(at("1970-01-05 09:00"))
    assert calendar.is_open(at("2199-12-31 17:59"))
    whole = calendar.working_time_between(at("1970-01-01 08:00"), at("2199-12-31 18:00"))
    weekdays = sum(
        date.fromordinal(day).weekday() < 5 for day in range(date(1970, 1, 1).toordinal(), date(2200, 1, 1).toordinal())
    )
    assert whole == weekdays * timedelta(hours=8)


def test_clocks_that_are_changed_count_in_real_time() -> None:
    zone = "America/New_York"
    around_the_clock = WorkingCalendar(ZoneInfo(zone), [hours("00:00-24:00")] * 7)
    nights = WorkingCalendar(ZoneInfo(zone), [hours("01:00-03:00")] * 7)
    day = {"2026-03-08": 23, "2026-03-09": 24, "2026-11-01": 25}  # forward, neither, back
    for start, count in day.items():
        end = at(start, zone) + timedelta(days=1)  # the same local time on the next day
        assert around_the_clock.working_time_between(at(start, zone), end) == timedelta(hours=count)
        assert nights.working_time_between(at(start, zone), end) == timedelta(hours=count - 22)
    assert nights.add_working_time(at("2026-11-01 00:00", zone), 2.5 * timedelta(hours=1)) == at(
        "2026-11-01 02:30", zone
    )
    # 2:30 does not exist on the day when clocks go forward, and 1:30 comes twice when they go back.
    assert nights.next_open(at("2026-03-08 03:00", zone)) == at("2026-03-09 01:00", zone)
    assert nights.is_open(at("2026-11-01 01:30", zone, fold=0))
    assert nights.is_open(at("2026-11-01 01:30", zone, fold=1))


def test_a_date_that_a_zone_has_left_out_is_no_time_at_all() -> None:
    calendar = WorkingCalendar(ZoneInfo("Pacific/Apia"), [hours("08:00-16:00")] * 7)  # no 30 December 2011
    assert calendar.add_working_time(at("2011-12-29 15:00", "Pacific/Apia"), timedelta(hours=2)) == at(
        "2011-12-31 09:00", "Pacific/Apia"
    )


def test_ten_years_cost_little_more_than_an_hour() -> None:
    calendar, start = office(), at("2026-03-03 10:00")
    ten_years = start.replace(year=2036)

    def cost(work: Callable[[], object]) -> float:
        runs = []
        for _ in range(20):
            begin = time.process_time()
            work()
            runs.append(time.process_time() - begin)
        return min(runs)

    hour = cost(lambda: calendar.working_time_between(start, start + timedelta(hours=1)))
    assert cost(lambda: calendar.working_time_between(start, ten_years)) < 200 * hour  # it has 3,653 days
    assert cost(lambda: calendar.add_working_time(start, timedelta(hours=10_000))) < 200 * hour


ANCHORS = {  # zones, and instants in UTC near which something happens in them
    "Asia/Shanghai": ("2026-02-14T00:00", "2026-10-01T00:00", "1986-05-03T18:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-04-04T15:00", "2026-10-03T15:30"),
    "Africa/Casablanca": ("2026-02-15T02:00", "2026-03-22T02:00"),
    "America/Havana": ("2026-03-08T05:00", "2026-11-01T05:00"),
    "Pacific/Apia": ("2011-12-30T10:00",),
    "America/St_Johns": ("2010-11-07T02:31", "2010-03-14T03:31"),
}
clocks = st.integers(0, 1439)
interval = st.tuples(clocks, clocks).filter(lambda pair: pair[0] != pair[1])
day_hours = st.lists(interval, max_size=3)
weeks = st.lists(day_hours, min_size=7, max_size=7).filter(any)
durations = st.one_of(
    st.timedeltas(timedelta(), timedelta(hours=40)), st.integers(0, 2400).map(lambda minutes: minutes * MINUTE)
)


class Sketch:
    """A drawn calendar, as the product has it and as the model reads it: minutes of the day."""

    def __init__(
        self, zone: str, week: list[list[tuple[int, int]]], special: dict[date, list[tuple[int, int]] | None]
    ) -> None:
        self.zone = ZoneInfo(zone)
        self.week = week
        self.special = special
        days = {
            day: SpecialDay("working", "", self._hours(own)) if own else SpecialDay("holiday", "")
            for day, own in special.items()
        }
        self.calendar = WorkingCalendar(self.zone, [self._hours(each) for each in week], days=days)

    @staticmethod
    def _hours(pairs: list[tuple[int, int]]) -> Hours:
        return hours(*("{:02}:{:02}-{:02}:{:02}".format(*divmod(start, 60), *divmod(end, 60)) for start, end in pairs))

    def _of(self, day: date) -> list[tuple[int, int]]:
        return (self.special[day] or []) if day in self.special else self.week[day.weekday()]

    def open(self, instant: datetime) -> bool:
        local = instant.astimezone(self.zone)
        minute, today = local.hour * 60 + local.minute, local.date()
        return any(start <= minute < end or minute >= start > end for start, end in self._of(today)) or any(
            minute < end < start for start, end in self._of(today - timedelta(days=1))
        )

    def __repr__(self) -> str:
        return f"Sketch({self.zone.key!r}, {self.week}, {self.special})"


@st.composite
def sketches(draw: st.DrawFn) -> tuple[Sketch, datetime]:
    """Draw a calendar, and an instant near something that happens in it."""
    zone = draw(st.sampled_from(sorted(ANCHORS)))
    anchor = datetime.fromisoformat(draw(st.sampled_from(ANCHORS[zone]))).replace(tzinfo=UTC)
    near = st.integers(-2, 2).map(lambda days: anchor.date() + timedelta(days=days))
    special = draw(st.dictionaries(near, st.one_of(st.none(), day_hours.filter(bool)), max_size=3))
    return Sketch(zone, draw(weeks), special), anchor + draw(st.integers(-2000, 1000)) * MINUTE


@laws
@given(sketches(), durations)
def test_what_is_added_is_what_lies_between(drawn: tuple[Sketch, datetime], duration: timedelta) -> None:
    sketch, start = drawn
    calendar = sketch.calendar
    end = calendar.add_working_time(start, duration)
    assert calendar.working_time_between(start, end) == duration
    if duration:  # and it is the first such instant
        tick = timedelta(microseconds=1)
        assert calendar.working_time_between(start, end - tick) == duration - tick
    else:
        assert end == start


@laws
@given(sketches(), durations, durations)
def test_adding_twice_is_adding_the_sum_and_more_is_never_earlier(
    drawn: tuple[Sketch, datetime], first: timedelta, second: timedelta
) -> None:
    sketch, start = drawn
    between = sketch.calendar.add_working_time(start, first)
    both = sketch.calendar.add_working_time(start, first + second)
    assert sketch.calendar.add_working_time(between, second) == both
    assert start <= between <= both
    later = sketch.calendar.add_working_time(start + second, first)
    assert between <= later


@laws
@given(sketches(), st.integers(-5000, 5000), st.integers(-5000, 5000))
def test_measured_parts_add_up_in_any_order(drawn: tuple[Sketch, datetime], one: int, two: int) -> None:
    sketch, start = drawn
    measure = sketch.calendar.working_time_between
    middle, end = start + one * MINUTE, start + two * MINUTE
    assert measure(start, middle) + measure(middle, end) == measure(start, end)
    assert abs(measure(start, end)) <= abs(end - start)


@laws
@given(sketches(), st.integers(0, 3000))
@example((Sketch("America/Havana", [[(1410, 90)]] * 7, {}), datetime(2026, 11, 1, 3, tzinfo=UTC)), 600)
def test_it_agrees_with_counting_minutes(drawn: tuple[Sketch, datetime], minutes: int) -> None:
    sketch, start = drawn
    instants = [start + number * MINUTE for number in range(minutes)]
    opened = [sketch.open(instant) for instant in instants]
    assert sketch.calendar.working_time_between(start, start + minutes * MINUTE) == sum(opened) * MINUTE
    assert [sketch.calendar.is_open(instant) for instant in instants[::97]] == opened[::97]
    if any(opened):
        assert sketch.calendar.next_open(start) == instants[opened.index(True)]
        last = minutes - 1 - opened[::-1].index(True)
        assert sketch.calendar.add_working_time(start, sum(opened) * MINUTE) == instants[last] + MINUTE
