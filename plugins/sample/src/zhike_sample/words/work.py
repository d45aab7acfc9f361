"""What the staff have to do."""

from __future__ import annotations

from typing import NamedTuple

from zhike.contracts import TaskPriority


class Kind(NamedTuple):
    """A kind of task.

    Args:
        title: With a place for the customer's name.
        description: What is to be known for it.
        stages: Of the customers it is about.
        priority: Of the task.
        result: What came of it, when it is done.
    """

    title: str
    description: str
    stages: tuple[str, ...]
    priority: TaskPriority
    result: str


SALES = (
    Kind(
        "回访高价值客户 {name}",
        "了解最近使用情况，介绍秋冬新品与会员权益。",
        ("loyal",),
        "high",
        "客户满意，预约下月到店",
    ),
    Kind("唤醒沉睡客户 {name}", "发送老客回归券，电话确认是否收到。", ("dormant",), "normal", "已领券，表示大促再看"),
    Kind("新客首单关怀 {name}", "确认收货体验，邀请加入企业微信社群。", ("new",), "normal", "已加入社群"),
    Kind("生日关怀：{name}", "本月生日，发送生日券并致电祝福。", ("active", "loyal"), "low", "已致电，客户很开心"),
    Kind("跟进未支付订单 {name}", "加购后未支付，了解顾虑，必要时申请优惠。", ("active",), "normal", "已下单"),
)
ACCOUNTS = (
    Kind(
        "跟进报价：{name}", "报价已发出，确认预算与交付时间。", ("opportunity",), "high", "对方要求再让两个点，已报批"
    ),
    Kind("首次拜访：{name}", "带样品册，了解年度采购计划。", ("lead",), "normal", "意向明确，下周发报价"),
    Kind("合同续签：{name}", "合同将到期，准备续签方案。", ("active", "loyal"), "urgent", "同意续签一年"),
    Kind("对账与开票：{name}", "核对上月订单金额，开具增值税专用发票。", ("active", "loyal"), "normal", "已开票寄出"),
)
CARE = (
    Kind("处理退换货：{name}", "客户反馈尺寸不合适，安排上门取件。", ("new", "active", "loyal"), "high", "已退款"),
    Kind("物流异常跟进：{name}", "包裹三天未更新，联系承运商。", ("new", "active"), "urgent", "已派送签收"),
    Kind("投诉回访：{name}", "上次投诉已处理，确认客户满意度。", ("active", "dormant"), "normal", "客户表示满意"),
)
OFFICE: tuple[tuple[str, str, TaskPriority], ...] = (
    ("核对重复客户", "「重复客户」里有待确认的记录，逐条核对后合并或忽略。", "high"),
    ("准备双周客户运营例会", "整理新增客户、复购率与沉睡客户占比。", "normal"),
    ("检查会员等级规则", "确认升级门槛与权益说明是否一致。", "low"),
    ("审核本月离职人员账号", "停用账号，交接名下客户。", "normal"),
    ("复盘大促客服话术", "汇总高频问题，更新快捷回复。", "normal"),
)
LEAD: tuple[tuple[str, str, TaskPriority], ...] = (
    ("审批大客户部的报价折扣", "两份报价低于授权价，确认毛利后答复。", "high"),
    ("确认双十二活动节奏", "与各区主管对齐货品、券与短信名单。", "normal"),
    ("复盘双十一各区转化", "比较各渠道的下单率与退款率，列出三条改进。", "normal"),
)
"""What the head of operations has to do."""
AGENDA = ("拉取上两周数据", "整理待决事项", "发出会议邀请", "会后更新任务")
"""What the checklist of a meeting that comes again says."""
STEPS = ("查看近三个月订单", "确认联系方式有效", "电话沟通", "记录结果")
"""What the checklist of a task about a loyal customer or an account says."""
QUESTION = "@admin 有几组同名客户拿不准，麻烦您看一下再合并。"
REMARKS = (
    "上午打过一次，没人接，下午再试。",
    "客户希望周末联系。",
    "已加企业微信，资料发过去了。",
    "需要主管确认折扣。",
)
