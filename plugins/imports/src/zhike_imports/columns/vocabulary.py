"""What columns are called in the files that shops, tills and data sets give out.

Names stand with blanks between; they are compared without case, blanks, `_`, `-`, `.` and brackets. Of several,
the first that a file has is taken.
"""

from __future__ import annotations

IDENTITIES = {
    "external_id": """
        externalid customerid custid customerno customernumber customercode clientid userid uid memberid
        memberno buyerid accountid 客户编号 客户id 客户号 客户编码 客户代码 会员编号 会员id 会员号
        会员卡号 用户编号 用户id 顾客编号 买家id""",
    "phone": """
        phone mobile phonenumber mobilenumber mobilephone tel telephone cellphone 手机 手机号 手机号码
        电话 电话号码 联系电话 移动电话 会员手机 客户手机""",
    "email": "email mail emailaddress 邮箱 电子邮箱 电子邮件 邮件地址",
    "uscc": "uscc 统一社会信用代码 社会信用代码",
    "wecom_external_userid": "wecomexternaluserid externaluserid",
    "wecom_unionid": "wecomunionid unionid",
    "dingtalk_userid": "dingtalkuserid",
    "device_id": "deviceid 设备id 设备号",
    "anonymous_id": "anonymousid",
}
"""Names of columns that say who the customer is, by namespace."""

TIMES = """
    occurredat eventtime paidat paidtime paytime paymenttime paymentdate purchasedate transactiontime
    transactiondate ordertime orderdate invoicedate datetime timestamp date time ts createdat createdtime
    createtime createdate 发生时间 支付时间 付款时间 支付日期 付款日期 成交时间 交易时间 交易日期
    消费时间 消费日期 购买时间 购买日期 下单时间 下单日期 订单时间 订单日期 日期时间 日期 时间 创建时间
    创建日期"""
"""Names of columns that say when it happened; that of the payment before that of the order."""

CLOCKS = "time 时间"
"""Names of a second column with the time of the day."""

AMOUNTS = """
    amount dollarvalue paidamount payamount paymentamount totalamount orderamount total totalprice
    revenue sales 金额 实付金额 实付 实际支付金额 支付金额 付款金额 成交金额 交易金额 消费金额 订单金额
    总金额 总价 金额元"""
"""Names of columns with the money that was paid."""

OTHERS = {
    "currency": "currency currencycode 币种 货币",
    "message_id": "messageid eventid",
    "source": "source 来源 数据来源",
    "name": "event eventname eventtype 事件 事件名 事件名称 事件类型",
}
"""Names of the remaining columns of an event, by target."""

CUSTOMER_NAMES = "姓名 客户姓名 客户名称 客户名 会员姓名 customername fullname"
"""Names of columns with the customer's name; `name` alone is one only when `--event` names the events."""

CUSTOMERS = {
    "name": CUSTOMER_NAMES + " name 名称 名字 公司全称 企业名称",
    "phone": IDENTITIES["phone"],
    "email": IDENTITIES["email"],
    "company": "company companyname employer organization organisation 公司 公司名称 单位 单位名称 工作单位 所属公司",
    "kind": "kind customertype 客户类型 类型",
    "stage": "stage lifecyclestage status 阶段 客户阶段 生命周期阶段 客户状态 状态",
    "owner": "owner salesperson salesrep 负责人 跟进人 所属销售 销售 客户经理 顾问 归属人",
    "team": "team department 团队 小组 部门 所属团队 所属部门",
    "source": "source 来源 数据来源",
    "created_at": "createdat registeredat registrationdate signupdate 注册时间 注册日期 创建时间 建档时间 入会时间",
    "updated_at": "updatedat modifiedat updatetime lastmodified 更新时间 修改时间 最后更新时间 更新日期",
}
"""Names of columns of a file of customers, by target."""

CUSTOMER_ATTRIBUTES = {
    "text:city": "city 城市 所在城市",
    "text:province": "province state 省份 省 所在省份",
    "text:address": "address 地址 联系地址 详细地址",
    "text:gender": "gender sex 性别",
    "date:birthday": "birthday birthdate dateofbirth 生日 出生日期",
    "list:tags": "tags labels 标签 客户标签",
}
"""Names of columns that become attributes of customers, by target."""

REJECT_COLUMNS = ("zhike_row", "zhike_line", "zhike_code", "zhike_reason")
"""The columns that a file of rejected rows has in front of the original ones."""
