"""What the sample company registers: its data, for `zhike demo` and nobody else."""

from __future__ import annotations

from collections.abc import Sequence

from zhike.contracts import DemoData
from zhike.hooks import hookimpl
from zhike.i18n import text
from zhike_sample.making import care, desk, fields, history, staff, tasks

LABEL = text("Sample company")


@hookimpl
def register_demo_data() -> Sequence[DemoData]:
    """Register the company: first who works there, then what happened, then who looks after whom."""
    return [
        DemoData(key="sample.staff", make=staff.make, order=10),
        DemoData(key="sample.fields", make=fields.make, order=11),
        DemoData(key="sample.history", make=history.make, order=12),
        DemoData(key="sample.care", make=care.make, order=13),
        DemoData(key="sample.tasks", make=tasks.make, order=14),
        DemoData(key="sample.desk", make=desk.make, order=15),
    ]
