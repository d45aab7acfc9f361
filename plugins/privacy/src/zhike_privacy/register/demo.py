"""Adds to the sample company what its customers have agreed to."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from zhike.access.actor import Actor
from zhike.work import begin
from zhike_privacy import service
from zhike_privacy.register import purposes
from zhike_privacy.register.consent import NewConsent
from zhike_privacy.register.purpose import NewPurpose

if TYPE_CHECKING:
    from zhike.contracts import DemoContext

_ACTOR = Actor.command("demo")
_PURPOSES = (
    NewPurpose(
        key="marketing",
        name="营销短信与推送",
        text="我同意青禾生活通过短信、微信和电话向我发送新品与优惠信息，并知晓可随时退订。",
        separate=True,
        events=["campaign.clicked"],
        retention_days=730,
    ),
    NewPurpose(
        key="profiling",
        name="个性化推荐",
        text="我同意青禾生活根据浏览与购买记录向我推荐商品，并知晓可随时关闭。",
        events=["page.viewed", "cart.added"],
        retention_days=730,
    ),
    NewPurpose(
        key="orders",
        name="履行订单与售后",
        text="为完成下单、配送、开票与售后所必需。",
        legal_basis="contract",
        events=["order.paid", "order.refunded"],
    ),
)
_MEMBERS = """
SELECT c.id, c.created_at FROM customer AS c JOIN identity AS i ON i.customer_id = c.id
WHERE i.namespace = 'external_id' AND i.value LIKE 'QH%' AND c.merged_into IS NULL AND c.created_at < $1 ORDER BY c.id
"""
_MOST, _AT_ONCE = 300, 30


async def make(company: DemoContext) -> None:
    """Make purposes, and record what up to 300 members have said about two of them."""
    company.say("登记授权 · consents")
    async with company.platform.db.connection() as connection:
        known = {row[0] for row in await connection.fetch("SELECT key FROM privacy_purpose")}
        asked = await connection.fetchval("SELECT EXISTS (SELECT FROM privacy_consent)")
        members = await connection.fetch(_MEMBERS, company.now - timedelta(days=30))
    for purpose in _PURPOSES:
        if purpose.key not in known:
            async with begin(company.platform, origin=_ACTOR.origin, plugin="privacy", mode="backfill") as work:
                await purposes.create(work, _ACTOR, purpose)
    if asked:
        return
    chance, said = company.random, list[NewConsent]()
    for customer_id, since in chance.sample(members, min(_MOST, len(members))):
        given = NewConsent(
            purpose="marketing" if chance.random() < 0.7 else "profiling",
            customer_id=customer_id,
            channel=chance.choice(("会员注册", "门店", "小程序弹窗")),
            proof="勾选《会员隐私政策》2.1 版，保存了页面快照",
            at=since,
        )
        said.append(given)
        if chance.random() < 0.1:
            withdrawn = {"granted": False, "channel": "短信回复 TD", "at": since + timedelta(days=20)}
            said.append(NewConsent(purpose=given.purpose, customer_id=customer_id, **withdrawn))
    for start in range(0, len(said), _AT_ONCE):
        async with begin(company.platform, origin=_ACTOR.origin, plugin="privacy", mode="backfill") as work:
            for consent in said[start : start + _AT_ONCE]:
                await service.record(work, _ACTOR, consent)
