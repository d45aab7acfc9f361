"""What happens in the background: the core's jobs that keep rules right, and the end of tags that have expired."""

from collections.abc import Sequence

from zhike.conditions.standing import always
from zhike.contracts import Job, JobItem, Schedule
from zhike.i18n import text
from zhike.work import Work
from zhike_tagging.conditions import RULES, release

_CHUNK = 1_000
_EXPIRED = "SELECT customer_id, tag_id, family FROM tagging_current WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2"


async def expire(items: Sequence[JobItem], work: Work) -> None:
    """End what has expired; whom a rule wants to have a tag gets it by the rule."""
    rules = await RULES.lock(work)
    rows = await work.connection.fetch(_EXPIRED, work.now, _CHUNK)
    await release(work, rows, always(items[0]), rules)
    if len(rows) == _CHUNK:
        work.enqueue("tagging.expire", key="rest")


JOBS = [*RULES.jobs, Job(name="tagging.expire", run=expire, label=text("End tags that have expired"))]
SCHEDULES = [*RULES.schedules, Schedule(name="tagging.expire", job="tagging.expire", cron="* * * * *")]
