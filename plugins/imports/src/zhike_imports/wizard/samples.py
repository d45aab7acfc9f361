"""Small files to begin with: what customers and events look like in a table."""

from __future__ import annotations

from zhike_imports.columns.mapping import Kind

SAMPLES: dict[tuple[Kind, str], tuple[str, str]] = {
    ("customers", "zh_CN"): (
        "客户示例.csv",
        """客户编号,姓名,手机号,邮箱,公司,城市,生日,注册时间
K0001,王小禾,13800000001,xiaohe@example.com,青山百货,杭州,1990-03-12,2025-01-05 10:20
K0002,李晓明,13800000002,,,上海,1986-11-02,2025-02-17
K0003,陈一诺,,yinuo@example.com,,成都,,2025-03-01
""",
    ),
    ("events", "zh_CN"): (
        "订单示例.csv",
        """订单号,客户编号,下单时间,金额,商品,渠道
D20250001,K0001,2025-03-01 09:12,128.00,亚麻床品四件套,小程序
D20250002,K0002,2025-03-01 20:45,59.90,竹纤维毛巾,天猫
D20250003,K0001,2025-03-09 13:30,199.00,保温壶,门店
""",
    ),
    ("customers", "en"): (
        "customers-sample.csv",
        """customer_no,name,phone,email,company,city,birthday,registered_at
K0001,Ada Green,13800000001,ada@example.com,Hill Stores,Hangzhou,1990-03-12,2025-01-05 10:20
K0002,Ben Stone,13800000002,,,Shanghai,1986-11-02,2025-02-17
K0003,Cleo Wood,,cleo@example.com,,Chengdu,,2025-03-01
""",
    ),
    ("events", "en"): (
        "orders-sample.csv",
        """order_no,customer_no,order_time,amount,product,channel
D20250001,K0001,2025-03-01 09:12,128.00,linen bedding,app
D20250002,K0002,2025-03-01 20:45,59.90,bamboo towel,marketplace
D20250003,K0001,2025-03-09 13:30,199.00,thermos,shop
""",
    ),
}
"""Name and text, by what it is of and language."""
