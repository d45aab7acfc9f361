"""The frozen structs that plugins hand to the core and the core hands to plugins."""

from zhike.api import Route
from zhike.contracts.access import Permission, TokenDraft
from zhike.contracts.customers import CustomerDraft
from zhike.contracts.events import Consumer, EventType, IncomingDraft, Kind, Mode, RecordedEvent
from zhike.contracts.jobs import Job, JobItem, Schedule
from zhike.contracts.merges import CustomersMerge
from zhike.contracts.plugins import Command, ConditionField, CustomerRows, HealthItem
from zhike.contracts.tasks import Task, TaskPriority, TaskStatus

__all__ = [
    "Command",
    "ConditionField",
    "Consumer",
    "CustomerDraft",
    "CustomerRows",
    "CustomersMerge",
    "EventType",
    "HealthItem",
    "IncomingDraft",
    "Job",
    "JobItem",
    "Kind",
    "Mode",
    "Permission",
    "RecordedEvent",
    "Route",
    "Schedule",
    "Task",
    "TaskPriority",
    "TaskStatus",
    "TokenDraft",
]
