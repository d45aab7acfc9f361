"""Who works there: teams, people, and the roles they have."""

from __future__ import annotations

from typing import NamedTuple

COMPANY = "青禾生活"
TEAMS = ("华东区", "华南区", "华北区", "大客户部", "客服中心")
KEY_ACCOUNTS, SERVICE = "大客户部", "客服中心"


class Person(NamedTuple):
    """A member of staff.

    Args:
        login: What they log in with.
        name: What they are called.
        role: A shipped role or one of `ROLES`.
        team: Where they work; the company for all of it.
    """

    login: str
    name: str
    role: str
    team: str = COMPANY


STAFF = (
    Person("gu.qinghe", "顾清禾", "admin"),
    Person("lu.yiming", "陆一鸣", "manager"),
    Person("shen.anran", "沈安然", "analyst"),
    Person("qiao.yu", "乔屿", "viewer"),
    Person("zhou.mingyuan", "周明远", "manager", "华东区"),
    Person("lin.wan", "林晚", "advisor", "华东区"),
    Person("xu.zhixia", "许知夏", "advisor", "华东区"),
    Person("fang.ze", "方泽", "advisor", "华东区"),
    Person("tang.xinyi", "唐心怡", "agent", "华东区"),
    Person("he.junjie", "何俊杰", "manager", "华南区"),
    Person("liang.shiyu", "梁诗雨", "advisor", "华南区"),
    Person("ou.wenbo", "欧文博", "advisor", "华南区"),
    Person("deng.keer", "邓可儿", "agent", "华南区"),
    Person("han.lei", "韩磊", "manager", "华北区"),
    Person("song.yuchen", "宋雨辰", "advisor", "华北区"),
    Person("dong.xue", "董雪", "advisor", "华北区"),
    Person("ma.haoran", "马浩然", "agent", "华北区"),
    Person("jiang.chengzhi", "蒋承志", "manager", "大客户部"),
    Person("pan.yue", "潘越", "advisor", "大客户部"),
    Person("cheng.silu", "程思璐", "advisor", "大客户部"),
    Person("ren.fei", "任飞", "advisor", "大客户部"),
    Person("su.jing", "苏静", "manager", "客服中心"),
    Person("ye.tong", "叶彤", "service", "客服中心"),
    Person("luo.xiaoman", "罗小满", "service", "客服中心"),
    Person("wei.ning", "魏宁", "service", "客服中心"),
)
"""Twenty-five people; the administrator who logs in as `admin` comes on top."""
