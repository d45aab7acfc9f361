"""Adds to the sample company two imports: one that went well, and one with rows to be mended."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from zhike.access.actor import Actor
from zhike_imports.run import profiles, uploads
from zhike_imports.schemas import Options

if TYPE_CHECKING:
    from zhike.contracts import DemoContext
    from zhike.platform import Platform

_WHO = "SELECT max(id) FROM app_user WHERE role = 'admin' AND disabled_at IS NULL"
_MEMBERS = """
SELECT i.value FROM identity AS i JOIN customer AS c ON c.id = i.customer_id
WHERE i.namespace = 'external_id' AND i.value LIKE 'QH%' AND c.created_at < $1 ORDER BY c.id LIMIT 400
"""
_VISITS = Options(
    event="store.visited",
    maps=("会员号=identity:external_id", "到店时间=occurred_at", "门店=property:shop", "接待=property:by"),
    source="门店",
)
_REMARKS = Options(
    kind="customers", maps=("会员号=identity:external_id", "服务备注=text:service_note"), source="客服表格"
)
_BAD = ("13 月 5 日", "昨天下午", "2026/13/45", "")
_NOTES = ("偏好工作日送货", "对香味敏感，不推荐香氛", "需要开专票", "家有宠物，关注除螨", "喜欢浅色系", "请电话联系")


async def make(company: DemoContext) -> None:
    """Import a list of notes, and one of visits to shops of which some rows have no time that can be read."""
    company.say("导入表格 · imports")
    chance = company.random
    async with company.platform.db.connection() as connection:
        done = {row[0] for row in await connection.fetch("SELECT file_name FROM imports_run")}
        rows = await connection.fetch(_MEMBERS, company.now - timedelta(days=30))
        who = await connection.fetchval(_WHO)
    actor = await company.platform.directory.user(who) or Actor.command("demo")
    members = [row[0] for row in chance.sample(rows, min(160, len(rows)))]
    notes = [(member, chance.choice(_NOTES)) for member in members[:60]]
    visits = []
    for place, member in enumerate(members):
        at = company.now - timedelta(days=chance.randint(1, 12), minutes=chance.randrange(400))
        shop, by = chance.choice(("上海静安店", "杭州湖滨店", "深圳南山店")), chance.choice(("小林", "小许", "小梁"))
        when = _BAD[place % len(_BAD)] if place % 23 == 7 else f"{at:%Y-%m-%d %H:%M:%S}"
        visits.append((member if place % 41 else "", when, shop, by))
    for name, options, header, lines in (
        ("客服备注.csv", _REMARKS, ("会员号", "服务备注"), notes),
        ("门店到访登记.csv", _VISITS, ("会员号", "到店时间", "门店", "接待"), visits),
    ):
        if name not in done:
            await _import(company.platform, actor, name, options, [header, *lines])
            await profiles.save(company.platform.db, actor, name.removesuffix(".csv"), header, options)


async def _import(
    platform: Platform, actor: Actor, name: str, options: Options, lines: Sequence[Sequence[str]]
) -> None:
    """Do as the wizard does: upload, begin, run."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(lines)

    async def pieces() -> AsyncIterator[bytes]:
        yield out.getvalue().encode()

    file = await uploads.store(platform, actor, name=name, media_type="text/csv", pieces=pieces())
    import_id = await uploads.start(platform, actor, file.id, options, dry_run=False)
    await uploads.carry_out(platform, import_id)
