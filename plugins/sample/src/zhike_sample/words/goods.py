"""What is sold, and what is said about it."""

from __future__ import annotations

from typing import NamedTuple


class Product(NamedTuple):
    """Something that is sold.

    Args:
        sku: Its number.
        name: What it is called.
        line: What it belongs to.
        price: In yuan.
        weight: How often it is bought.
        peak: The months in which it is bought twice as often.
    """

    sku: str
    name: str
    line: str
    price: int
    weight: int
    peak: tuple[int, ...] = ()


_SUMMER, _WINTER = (5, 6, 7, 8), (11, 12, 1, 2)
# Line, the letters of its numbers, and its products: name, price, weight and, maybe, season.
_LINES: tuple[tuple[str, str, tuple[tuple[str, int, int, tuple[int, ...]], ...]], ...] = (
    (
        "床品",
        "BD",
        (
            ("水洗棉四件套", 299, 12, ()),
            ("长绒棉四件套", 599, 6, ()),
            ("天丝凉感套件", 459, 7, _SUMMER),
            ("桑蚕丝夏凉被", 399, 7, _SUMMER),
            ("羽绒冬被", 899, 5, _WINTER),
            ("大豆纤维被", 269, 8, _WINTER),
            ("乳胶枕", 159, 11, ()),
            ("记忆棉护颈枕", 129, 9, ()),
        ),
    ),
    (
        "厨具",
        "KT",
        (
            ("珐琅炖锅", 399, 6, _WINTER),
            ("不粘平底锅", 169, 12, ()),
            ("铸铁煎锅", 259, 5, ()),
            ("檀木砧板", 89, 9, ()),
            ("不锈钢刀具六件套", 329, 5, ()),
            ("手工青瓷餐具十二件", 468, 4, (1, 2, 9)),
            ("硅胶铲勺套装", 59, 11, ()),
        ),
    ),
    (
        "收纳",
        "ST",
        (
            ("布艺收纳箱", 69, 15, (3, 4, 9, 10)),
            ("玻璃保鲜盒五件套", 99, 14, ()),
            ("藤编脏衣篮", 119, 7, ()),
            ("抽屉分隔盒", 39, 16, ()),
            ("真空压缩袋", 49, 13, (4, 5, 10)),
            ("厨房置物架", 139, 8, ()),
            ("旅行收纳六件套", 79, 10, (1, 7, 9)),
        ),
    ),
    (
        "香氛",
        "FR",
        (
            ("无火香薰", 99, 10, ()),
            ("大豆香薰蜡烛", 79, 10, _WINTER),
            ("扩香石礼盒", 168, 5, (2, 5, 12)),
            ("衣物香氛喷雾", 59, 8, ()),
            ("车载香薰", 89, 6, ()),
        ),
    ),
    (
        "卫浴",
        "BA",
        (
            ("竹纤维浴巾", 60, 15, ()),
            ("长绒棉毛巾三条装", 69, 16, ()),
            ("硅藻泥脚垫", 79, 8, ()),
            ("棉麻浴帘", 109, 4, ()),
            ("洗漱杯套装", 49, 7, ()),
        ),
    ),
    (
        "清洁",
        "CL",
        (
            ("植物洗衣液", 40, 18, ()),
            ("厨房去油喷雾", 26, 14, (1, 2)),
            ("免手洗平板拖把", 129, 8, (1, 2)),
            ("除螨喷雾", 45, 8, _SUMMER),
            ("可降解垃圾袋", 25, 14, ()),
        ),
    ),
    (
        "小家电",
        "EL",
        (
            ("桌面加湿器", 129, 9, _WINTER),
            ("护眼台灯", 239, 6, (8, 9)),
            ("空气循环扇", 349, 7, _SUMMER),
            ("养生壶", 189, 7, _WINTER),
            ("手持除螨仪", 399, 5, ()),
            ("智能电饭煲", 599, 4, ()),
        ),
    ),
)
PRODUCTS = tuple(
    Product(f"QH-{letters}{number:02d}", name, line, price, weight, peak)
    for line, letters, products in _LINES
    for number, (name, price, weight, peak) in enumerate(products, start=1)
)
LINES = tuple(line for line, _, _ in _LINES)
CAMPAIGNS = {
    3: "焕新家居节",
    5: "618 预售",
    6: "618 年中狂欢",
    8: "开学季",
    9: "会员日",
    10: "双十一预售",
    11: "双十一狂欢",
    12: "双十二暖冬",
    1: "年货节",
}
COUPONS = {"新人券": 20, "满 199 减 30": 30, "会员生日券": 50, "老客回归券": 40, "大促满 399 减 60": 60}
TOPICS = {"配送进度": 30, "退换货": 22, "发票": 10, "产品咨询": 24, "会员权益": 9, "售后维修": 5}
REASONS = ("尺寸不合适", "七天无理由", "与描述不符", "物流破损", "重复下单", "质量问题")
PRAISE = {
    5: ("质感很好，会回购", "物流快，包装用心", "颜色比图片还好看", "送给爸妈，很喜欢"),
    4: ("整体满意，稍有色差", "性价比不错", "用了一周，挺好的"),
    3: ("一般般，中规中矩", "物流有点慢"),
    2: ("尺寸偏小，不太合适", "有点味道，要散一散"),
    1: ("收到时有破损，客服已处理", "和想象的不一样"),
}
