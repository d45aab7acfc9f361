"""Readings of the condition language that are wrong, each in one place.

A sample that does not tell them from the right one proves nothing. `about` is a word that stands in every condition
that can be misread so.
"""

from engine import DIGITS, ONE, Engine
from walls import DAY, SECOND


class ReadsLessAsAtMost(Engine):
    def ratio(self, op, above, below, literal):
        return super().ratio("lte" if op == "lt" else op, above, below, literal)


class ComparesTextsInLowerCase(Engine):
    def positive(self, op, value, kind, literal, now):
        return super().positive(op, f"lower({value})" if kind == "text" else value, kind, literal, now)


class ReadsNegationAsFalseOnMissing(Engine):
    def test(self, node, value, kind, now):
        holds = super().test(node, value, kind, now)
        return f"({holds} AND {value} IS NOT NULL)" if node["op"] in ("ne", "not_in", "not_contains") else holds


class ReadsAMissingMeasureAsZero(Engine):
    def without(self, measure, above):
        return f"coalesce({above}, 0)"


class CountsTheStartOfAWindow(Engine):
    def window(self, start, end):
        return super().window(None if start is None else start - 1, end)


class LeavesOutNow(Engine):
    def window(self, start, end):
        return super().window(start, end - 1)


class SeesLaterEvents(Engine):
    def window(self, start, end):
        return super().window(start, end + DAY)


class AddsUpCurrencies(Engine):
    def amount(self, currency):
        return f"(amount * {10 ** (9 - DIGITS[currency])})"


class TakesMinorUnits(Engine):
    def amount(self, currency):
        return f"(CASE WHEN currency = '{currency}' THEN amount * {ONE} END)"


class RoundsAverages(Engine):
    about = "avg"

    def aggregate(self, measure, of, end):
        if measure != "avg":
            return super().aggregate(measure, of, end)
        return f"sum({of}) // count({of}) // {ONE // 100} AS above, 100::HUGEINT AS below"


class RoundsDays(Engine):
    about = "days_since"

    def aggregate(self, measure, of, end):
        return super().aggregate(measure, of, end + DAY // 2 if measure.startswith("days") else end)


class TellsNumbersFromTextsByNothing(Engine):
    about = "distinct"

    def different(self, column):
        return f"coalesce({column}_text, ({column}_number // {ONE})::VARCHAR, {column}_boolean::VARCHAR)"


class DividesTrendsByWhatWas(Engine):
    def basis(self, earlier):
        return earlier


class CountsDaysInUTC(Engine):
    about = "active_days"

    def aggregate(self, measure, of, end):
        days = f"count(DISTINCT occurred_at // {DAY})::HUGEINT AS above, 1::HUGEINT AS below"
        return days if measure == "active_days" else super().aggregate(measure, of, end)


class KeepsEmptySources(Engine):
    about = "event.source"

    def source(self):
        return "source"


class SeesCustomersMergedAway(Engine):
    def counted(self):
        return "true"


class BeginsRowsTooLate(Engine):
    def valid(self, at):
        return f"({super().valid(at)} AND r.valid_from < {at})"


class AsksOnlyAboutTheBeginning(Engine):
    about = "for"

    def undisturbed(self, rows, fails, start, now):
        return super().undisturbed(rows, fails, start, start + 1)


class ForgetsLeapDays(Engine):
    about = "anniversary"

    def lacks_a_leap_day(self, year):
        return False


class TakesMonthsAsThirtyDays(Engine):
    def before(self, now, duration):
        return super().before(now, {"P1M": "P30D", "P2M": "P60D", "P1Y": "P365D"}.get(duration, duration))


class StepsDaysByTheCalendar(Engine):
    def before(self, now, duration):
        days = {"P1D": 1, "P7D": 7, "P14D": 14, "P30D": 30, "P31D": 31, "P90D": 90, "P12W": 84}.get(duration)
        return super().before(now, duration) if days is None else self.clock.instant(self.clock.wall(now) - days * DAY)


class TakesTheEarlierOfTwoTimes(Engine):
    def before(self, now, duration):
        found = super().before(now, duration)
        guesses = [found - minutes * 60 * SECOND for minutes in (0, 30, 60)]
        return min(guess for guess in guesses if self.clock.wall(guess) == self.clock.wall(found))


class CountsDatesBetween(Engine):
    about = "days_since"

    def aggregate(self, measure, of, end):
        last = {"days_since_first": "min(day)", "days_since_last": "max(day)"}.get(measure)
        if last is None:
            return super().aggregate(measure, of, end)
        return f"({self.clock.day(end)} - {last})::HUGEINT AS above, 1::HUGEINT AS below"


class MovesWhatNowIsInsideATrend(Engine):
    about = "trend"

    def measured(self, node, start, end, now):
        return super().measured(node, start, end, end)


class LooksAtBothEndsOnly(Engine):
    about = "for"

    def covered(self, table, rows, fits, start, now):
        return f"EXISTS ({rows} AND {self.valid(start)} AND {fits})"


class CountsRowsThatEndedBefore(Engine):
    about = "for"

    def overlaps(self, start, end):
        return f"(r.valid_from < {end} AND (r.valid_to IS NULL OR r.valid_to >= {start}))"
