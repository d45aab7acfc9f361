"""Tags by rule: the core says who enters and leaves a rule; here that becomes rows, and events that tell of it."""

from collections.abc import Collection, Iterable

from asyncpg import Record

from zhike.conditions.standing import CauseOf, Rule, StandingRules
from zhike.contracts import RecordedEvent
from zhike.work import Work
from zhike_tagging.schemas import Source, TagFacts

# The view of who has which tag, and had it.
MEMBERS = "tagging_member"
# A customer and a tag each.
Pairs = Collection[tuple[int, int]]
_TOLD = "SELECT customer_id, tag_id, source, name, t.group FROM n JOIN tagging_listed AS t ON id = tag_id ORDER BY 1, 2"
# Whoever has a tag by hand already has it for as long as if it were given now.
_GIVE = f"""
WITH n AS (
  INSERT INTO tagging_assignment AS a
    (customer_id, tag_id, valid_from, source, actor, cause_event_id, rule_version, expires_at)
  SELECT customer_id, t.id, $3, $4, $5, cause, CASE WHEN $4 = 'rule' THEN t.rule_version END,
    CASE WHEN $4 <> 'rule' THEN ($3 AT TIME ZONE $7 + t.expires::interval) AT TIME ZONE $7 END
  FROM unnest($1::bigint[], $2::bigint[], $6::bigint[]) AS n (customer_id, tag_id, cause)
  JOIN tagging_tag AS t ON t.id = n.tag_id
  ON CONFLICT (customer_id, tag_id) WHERE valid_to IS NULL DO UPDATE SET expires_at = excluded.expires_at
  RETURNING customer_id, tag_id, source
) {_TOLD}
"""
_END = f"""
WITH n AS (
  UPDATE tagging_assignment AS a SET valid_to = greatest(a.valid_from, $3)
  FROM unnest($1::bigint[], $2::bigint[]) AS n (customer_id, tag_id)
  WHERE (a.customer_id, a.tag_id) = (n.customer_id, n.tag_id) AND a.valid_to IS NULL
  RETURNING a.customer_id, a.tag_id, a.source
) {_TOLD}
"""


async def give(work: Work, pairs: Pairs, cause: CauseOf, source: Source = "rule", *, had: Pairs = ()) -> None:
    """Give tags to customers; nobody is told of those who `had` them in another way."""
    if pairs:
        customers, tags = zip(*pairs, strict=True)
        causes = [each.id if isinstance(each := cause(customer), RecordedEvent) else None for customer in customers]
        values = (customers, tags, work.now, source, work.origin, causes, work.platform.settings.timezone)
        rows = await work.connection.fetch(_GIVE, *values)
        _tell(work, "tag.added", [row for row in rows if (row[0], row[1]) not in had], cause)


async def end(work: Work, pairs: Pairs, cause: CauseOf, *, told: bool = True) -> None:
    """Take tags from customers, however they have got them."""
    if pairs:
        rows = await work.connection.fetch(_END, *zip(*pairs, strict=True), work.now)
        _tell(work, "tag.removed", rows if told else [], cause)


async def release(work: Work, had: Collection[Record], cause: CauseOf, rules: list[Rule]) -> None:
    """End tags that were given by hand, rows with customer, tag and family first; what rules want is given now."""
    if had:
        customers, tags, families = ({row[place] for row in had} for place in range(3))
        await end(work, [(row[0], row[1]) for row in had], cause)
        free = {rule.id: customers for rule in rules if rule.id in tags or rule.family in families - {None}}
        await RULES.settle(work, free, cause, rules)


def _tell(work: Work, name: str, rows: Iterable[Record], cause: CauseOf) -> None:
    for customer, tag, source, called, group in rows:
        facts = TagFacts(tag_id=tag, tag=called, group=group, source=source)
        work.emit(name, customer, cause=cause(customer), key=f"{tag}:{customer}", properties=facts)


RULES = StandingRules(
    "tagging",
    field="tags",
    rules="tagging_standing",
    members=MEMBERS,
    state="tagging_state",
    problems="tagging_tag",
    enter=give,
    leave=end,
)
