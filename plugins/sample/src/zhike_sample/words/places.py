"""Where customers live, the shops, and the ways customers come by."""

from __future__ import annotations

from typing import NamedTuple


class City(NamedTuple):
    """A city.

    Args:
        name: What it is called.
        province: Where it lies.
        region: Whose customers they are there: a team.
        weight: How many of a thousand customers live there.
        shops: The company's shops there.
    """

    name: str
    province: str
    region: str
    weight: int
    shops: tuple[str, ...] = ()


CITIES = (
    City("上海", "上海", "华东区", 128, ("上海静安店", "上海徐汇店", "上海浦东店")),
    City("杭州", "浙江", "华东区", 110, ("杭州湖滨店", "杭州滨江店")),
    City("南京", "江苏", "华东区", 58, ("南京新街口店",)),
    City("苏州", "江苏", "华东区", 55, ("苏州观前店",)),
    City("宁波", "浙江", "华东区", 34),
    City("合肥", "安徽", "华东区", 24),
    City("无锡", "江苏", "华东区", 22),
    City("深圳", "广东", "华南区", 88, ("深圳南山店", "深圳福田店")),
    City("广州", "广东", "华南区", 84, ("广州天河店",)),
    City("厦门", "福建", "华南区", 30, ("厦门思明店",)),
    City("佛山", "广东", "华南区", 26),
    City("东莞", "广东", "华南区", 24),
    City("长沙", "湖南", "华南区", 32),
    City("成都", "四川", "华南区", 62, ("成都锦江店",)),
    City("北京", "北京", "华北区", 92, ("北京朝阳店", "北京海淀店")),
    City("天津", "天津", "华北区", 28),
    City("青岛", "山东", "华北区", 30, ("青岛市南店",)),
    City("济南", "山东", "华北区", 22),
    City("西安", "陕西", "华北区", 28),
    City("武汉", "湖北", "华北区", 23),
)
MINI, TMALL, JD, DOUYIN, SHOP, SITE = "微信小程序", "天猫", "京东", "抖音", "门店", "官网"
DIRECT = "大客户"
# Of a hundred customers who join: how many at the beginning of the story, and how many at its end.
CHANNELS = {MINI: (30, 34), TMALL: (30, 21), JD: (15, 12), DOUYIN: (5, 17), SHOP: (12, 10), SITE: (8, 6)}
# Those whose customers are first known by an account there, and the namespace of these.
MARKETPLACES = {TMALL: "tmall_id", JD: "jd_id", DOUYIN: "douyin_id"}
CARRIERS = ("顺丰速运", "中通快递", "圆通速递", "京东物流", "韵达快递")
