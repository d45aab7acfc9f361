"""What tagging registers: the table of contents of the plugin."""

from collections.abc import Sequence
from functools import partial

from zhike import contracts
from zhike.hooks import hookimpl, registers
from zhike.i18n import text
from zhike.work import Work
from zhike_tagging import actions, api, jobs, pages
from zhike_tagging.conditions import RULES
from zhike_tagging.schemas import TagFacts
from zhike_tagging.shipped import demo

CLAIMS = ("tag", "tags")
LABEL = text("Tags")
_TOLD = ("tag.added", "tag.removed")
_event = partial(contracts.EventType, kind="platform", payload=TagFacts, summary=text("{tag}"), derived=True)
_EVENTS = [_event(name="tag.added", label=text("Tag added")), _event(name="tag.removed", label=text("Tag removed"))]
_FIELD = contracts.ConditionField(
    key="tags", label=LABEL, type="text", relation="tagging_tags", changed_by=_TOLD, many=True, history=True
)
_COLUMN = contracts.Column(
    key="tagging.tags", label=LABEL, relation="tagging_current", kind="tags", permission=actions.READ
)
_PERMISSIONS = [
    contracts.Permission(key=actions.READ, label=text("See tags"), roles=("manager", "agent", "viewer")),
    contracts.Permission(key=actions.ASSIGN, label=text("Give tags to customers"), roles=("manager", "agent")),
    # Tags are everybody's: whoever changes one takes it from customers out of their sight, too.
    contracts.Permission(key=actions.MANAGE, label=text("Manage tags and their rules"), roles=("manager",), whole=True),
]
# What tags a customer had goes with the customer.
_ROWS = contracts.CustomerRows(table="tagging_assignment", on_merge="move", on_erase="delete", derived="by_rule")

register_permissions = registers(_PERMISSIONS)
register_event_types = registers(_EVENTS)
register_condition_fields = registers([_FIELD])
register_customer_rows = registers([_ROWS])
register_columns = registers([_COLUMN])
register_routes = registers(api.ROUTES)
register_pages = registers(pages.PAGES)
register_nav_items = registers(pages.NAV)
register_panels = registers(pages.PANELS)
register_pickers = registers(pages.PICKERS)
register_bulk_actions = registers(actions.BULK)
register_actions = registers(actions.ACTIONS)
register_jobs = registers(jobs.JOBS)
register_schedules = registers(jobs.SCHEDULES)
register_demo_data = registers([contracts.DemoData(key="tagging.tags", make=demo.make, order=13)])
# All events, since a rule may depend on any; and it may be started over if need be.
register_consumers = registers([contracts.Consumer(reset=RULES.reset)])


@hookimpl
async def on_events_recorded(events: Sequence[contracts.RecordedEvent], mode: contracts.Mode, work: Work) -> None:
    """Evaluate the rules that depend on what has happened, and make the tasks of tags that were given."""
    await RULES.follow(work, events)
    await actions.follow_up(events, mode, work)
