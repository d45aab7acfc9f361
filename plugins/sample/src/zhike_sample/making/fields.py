"""Makes the fields that the company's customers have, and names the stages they go through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from zhike.access.actor import Actor
from zhike.customers import defining
from zhike.customers.field import Choice
from zhike.customers.field_schemas import FieldChange, NewField
from zhike_sample.words.goods import LINES
from zhike_sample.words.places import CHANNELS, DIRECT

if TYPE_CHECKING:
    from zhike.contracts import DemoContext

_ACTOR = Actor.command("demo")
_BASICS, _MEMBER, _BUSINESS = "基本资料", "会员信息", "企业信息"
STAGES = {
    "prospect": "潜客",
    "new": "新客",
    "active": "活跃",
    "loyal": "忠诚",
    "dormant": "沉睡",
    "lost": "流失",
    "lead": "线索",
    "opportunity": "商机",
}


def _choices(given: dict[str, str]) -> tuple[Choice, ...]:
    return tuple(Choice(key, label) for key, label in given.items())


def _same(words: tuple[str, ...]) -> tuple[Choice, ...]:
    return tuple(map(Choice, words))


FIELDS = (
    NewField(
        key="gender", label="性别", type="choice", choices=_choices({"female": "女", "male": "男"}), group=_BASICS
    ),
    NewField(key="birthday", label="生日", type="date", group=_BASICS, help="用于会员日关怀，仅在客户同意后填写"),
    NewField(key="city", label="城市", group=_BASICS),
    NewField(key="province", label="省份", group=_BASICS),
    NewField(key="first_channel", label="首次来源", type="choice", choices=_same((*CHANNELS, DIRECT)), group=_BASICS),
    NewField(
        key="member_level",
        label="会员等级",
        type="choice",
        choices=_choices({"normal": "普卡", "silver": "银卡", "gold": "金卡", "black": "黑金"}),
        group=_MEMBER,
        help="按累计消费自动升级",
    ),
    NewField(key="points", label="积分", type="number", group=_MEMBER),
    NewField(key="preferences", label="品类偏好", type="multi_choice", choices=_same(LINES), group=_MEMBER),
    NewField(
        key="industry",
        label="行业",
        type="choice",
        choices=_choices(
            {
                "hotel": "酒店民宿",
                "catering": "餐饮",
                "property": "物业",
                "design": "装饰设计",
                "education": "教育",
                "retail": "商贸零售",
                "technology": "科技",
            }
        ),
        group=_BUSINESS,
    ),
    NewField(
        key="headcount",
        label="规模",
        type="choice",
        choices=_same(("1-20", "21-100", "101-500", "500+")),
        group=_BUSINESS,
    ),
    NewField(key="billing_account", label="开票账号", group=_BUSINESS, encrypted=True, help="加密保存，只能精确查找"),
)


async def make(company: DemoContext) -> None:
    """Make the fields; those that are there already stay as they are."""
    platform = company.platform
    company.say("定义客户字段 · fields of customers")
    known = (await platform.customer_fields.renew(now=True)).known
    for place, field in enumerate(FIELDS):
        if field.key not in known:
            placed = msgspec.structs.replace(field, position=place)
            await defining.create(platform, _ACTOR, placed)
    if "stage" not in known:
        await defining.change(platform, _ACTOR, "stage", FieldChange(choices=_choices(STAGES)))
