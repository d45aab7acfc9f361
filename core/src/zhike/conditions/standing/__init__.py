"""Rules whose members are kept right: as events come, as time passes, and whenever a rule is made or changed.

A plugin with rules of its own (tags, segments, levels of health, who enters a journey) names four relations of its own
and two functions, and gets from `StandingRules` the body of its consumer, jobs and a schedule; see docs/conditions.md.
"""

from zhike.conditions.standing.book import Rule
from zhike.conditions.standing.rules import CauseOf, StandingRules, always, existing

__all__ = ["CauseOf", "Rule", "StandingRules", "always", "existing"]
