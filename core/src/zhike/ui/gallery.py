"""Every component of the page kit with its code, for those who write pages; served by `zhike serve --dev` only."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from zhike import clock
from zhike.contracts import Panel
from zhike.ui.forms import Form, asked
from zhike.ui.tables import Filter, Table, TableAction, TableColumn, TableView

_EXAMPLES = Path(__file__).parent / "templates" / "gallery" / "examples"


class Campaign(msgspec.Struct, kw_only=True):
    """What the sample form asks for."""

    title: Annotated[str, asked("Title", help="Customers do not see it.", max_length=60)]
    channel: Annotated[
        Literal["sms", "call"],
        asked("Channel", options={"sms": "Text message", "call": "Phone call"}, help="Each customer is reached once."),
    ] = "sms"
    budget: Annotated[Decimal, asked("Budget", kind="money")] = Decimal(2000)
    owner: Annotated[str, asked("Owner", kind="user")] = ""
    wait: Annotated[int, asked("Wait between two messages", kind="duration", ge=60, le=30 * 86_400)] = 3 * 86_400
    paused: Annotated[bool, asked("Begin later", help="Nothing is sent before you start it.")] = False


def examples() -> list[tuple[str, str]]:
    """Return the name and the source of every example."""
    return [(path.stem, path.read_text("utf-8").strip()) for path in sorted(_EXAMPLES.glob("*.html"))]


async def _nothing(*_: object) -> dict[str, Any]:
    return {}


def sample() -> dict[str, Any]:
    """Return the names that the examples use."""
    return {
        "people": _people(),
        "nobody": Table(
            id="nobody", path="/dev/gallery", columns=[], rows=[], empty={"icon": "users", "title": "还没有客户"}
        ),
        "form_sample": Form(Campaign, {"title": "双十一老客回访"}),
        "condition": {
            "type": "all",
            "of": [
                {"type": "field", "field": "customer.stage", "op": "eq", "value": "won"},
                {"type": "event", "event": "*", "measure": "count", "within": "P90D", "op": "gte", "value": 3},
            ],
        },
        "entries": _entries(),
        "sales": {
            "kind": "area",
            "names": ["6月", "7月", "8月", "9月", "10月", "11月"],
            "series": [
                {"name": "门店", "values": [320, 332, 301, 334, 390, 730]},
                {"name": "天猫", "values": [420, 532, 401, 434, 590, 1630]},
            ],
            "unit": "单",
        },
        "panel_sample": Panel(
            key="gallery.sample",
            label="最近的订单",
            load=_nothing,
            template="kit/empty.html",
            permission="customers.read",
        ),
        "work": {"label": "导入客户", "done": 3200, "total": 5000, "state": "running", "text": "约剩 20 秒"},
        "finished": {"label": "导入客户", "done": 5000, "total": 5000, "state": "done"},
    }


def _people() -> Table:
    now = clock.now()
    names = ["王小明", "李静怡", "上海青禾家居用品有限公司", "欧阳娜娜", "", "Alexander Müller"]
    stages = [
        ("成交", "green"),
        ("线索", "gray"),
        ("意向", "blue"),
        ("流失", "red"),
        ("线索", "gray"),
        ("意向", "blue"),
    ]
    tag = {"label": "高价值", "color": "orange"}
    return Table(
        id="people",
        path="/dev/gallery",
        columns=[
            TableColumn(key="name", label="姓名", sort="name"),
            TableColumn(key="phone", label="电话", kind="phone"),
            TableColumn(key="stage", label="阶段", kind="badge"),
            TableColumn(key="tags", label="标签", kind="tags"),
            TableColumn(key="spent", label="消费", kind="money", sort="spent"),
            TableColumn(key="seen", label="最近活跃", kind="instant", sort="seen"),
        ],
        rows=[
            {
                "id": n,
                "path": "/dev/gallery",
                "name": name or "（未命名）",
                "phone": f"138{n:04}{n * 7 % 10000:04}" if n % 3 else None,
                "stage": {"label": stages[n][0], "color": stages[n][1]},
                "tags": [tag, "华东"][: n % 3],
                "spent": Decimal(n * 1280),
                "seen": now - timedelta(hours=n * n * 7),
            }
            for n, name in enumerate(names)
        ],
        query={},
        sort="-seen",
        total=5231,
        older="abc",
        takes_all=True,
        filters=[
            Filter(name="q", label="搜索", placeholder="姓名、电话、拼音首字母"),
            Filter(name="stage", label="阶段", kind="select", options=[("lead", "线索"), ("won", "成交")]),
            Filter(name="owner", label="负责人", kind="user"),
        ],
        views=[
            TableView(label="全部客户", path="/dev/gallery", active=True),
            TableView(label="本周活跃", path="/dev/gallery"),
        ],
        actions=[
            TableAction(label="加标签", icon="tag", path="/dev/gallery"),
            TableAction(label="删除", icon="trash", path="/dev/gallery", danger=True),
        ],
        save_view="/dev/gallery",
        export="/dev/gallery",
        choose=True,
    )


def _entries() -> list[dict[str, Any]]:
    now = clock.now()
    return [
        {
            "at": now,
            "icon": "shopping-cart",
            "color": "green",
            "title": "支付订单 ¥1,299.00",
            "text": "天猫旗舰店，3 件商品",
        },
        {
            "at": now - timedelta(minutes=50),
            "icon": "phone-call",
            "color": "blue",
            "title": "来电 3 分 12 秒",
            "by": "李静怡",
        },
        {
            "at": now - timedelta(days=2),
            "icon": "tag",
            "color": "orange",
            "title": "打上标签“高价值”",
            "text": "由规则",
        },
    ]
