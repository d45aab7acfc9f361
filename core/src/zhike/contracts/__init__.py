"""The frozen structs that plugins hand to the core and the core hands to plugins."""

from zhike.api import Route
from zhike.contracts.access import Permission, TokenDraft
from zhike.contracts.customers import CustomerDraft
from zhike.contracts.demo import DemoContext
from zhike.contracts.events import Consumer, EventType, IncomingDraft, Kind, Mode, RecordedEvent
from zhike.contracts.jobs import Job, JobItem, Schedule
from zhike.contracts.merges import CustomersMerge
from zhike.contracts.pages import (
    Action,
    BulkAction,
    Choosable,
    Column,
    DemoData,
    NavItem,
    PageRoute,
    Panel,
    Picker,
    SettingsGroup,
)
from zhike.contracts.plugins import Command, ConditionField, CustomerRows, HealthItem
from zhike.contracts.tasks import Recurrence, Task, TaskPriority, TaskStatus

__all__ = [
    "Action",
    "BulkAction",
    "Choosable",
    "Column",
    "Command",
    "ConditionField",
    "Consumer",
    "CustomerDraft",
    "CustomerRows",
    "CustomersMerge",
    "DemoContext",
    "DemoData",
    "EventType",
    "HealthItem",
    "IncomingDraft",
    "Job",
    "JobItem",
    "Kind",
    "Mode",
    "NavItem",
    "PageRoute",
    "Panel",
    "Permission",
    "Picker",
    "RecordedEvent",
    "Recurrence",
    "Route",
    "Schedule",
    "SettingsGroup",
    "Task",
    "TaskPriority",
    "TaskStatus",
    "TokenDraft",
]
