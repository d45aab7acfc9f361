"""Names of people and companies."""

from __future__ import annotations

# The frequent ones more often.
SURNAMES = (
    "王王王李李李张张张刘刘陈陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯"
    "邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈"
)
# Given names: one character, or one of the first and one of the second kind.
SINGLE = {"女": "婷静敏丽燕芳娜雪慧颖琳瑶萍倩岚薇", "男": "伟强磊洋勇军杰涛超明鑫波斌凯晖毅"}
DOUBLE = {
    "女": ("雨梓思诗欣佳晓若语书静婉念清可梦雅心紫晨安如知采沐", "涵桐琪怡雯曦嫣瑶婷萱馨彤妍然宁溪禾悦岚月霏柔颜澜乔"),
    "男": ("浩子宇俊志文天嘉思一建国海永明泽博承家少振云星景立", "然轩航杰强博佑豪远鸣华栋涛东新哲宇辉行墨帆河诚安川"),
}
_STEM = (
    "云岭晴川松间听雨半山南屏望江竹里白露青石远山拾光栖木和风长亭暖阳北辰澄湖花溪麦田微澜星野禾木临溪归园山语沐光知秋"
)
STEMS = [_STEM[place : place + 2] for place in range(0, len(_STEM), 2)]
# Kind of company, its industry, how often, and how large an order of theirs is beside the usual one.
COMPANIES = (
    ("酒店管理有限公司", "hotel", 20, 2.2),
    ("民宿", "hotel", 16, 0.7),
    ("餐饮管理有限公司", "catering", 16, 1.3),
    ("咖啡馆", "catering", 10, 0.5),
    ("物业服务有限公司", "property", 12, 1.5),
    ("装饰设计有限公司", "design", 10, 1.0),
    ("幼儿园", "education", 8, 0.8),
    ("商贸有限公司", "retail", 14, 1.8),
    ("科技有限公司", "technology", 12, 1.1),
)
TITLES = ("采购经理", "行政主管", "总经理", "财务", "店长", "后勤主任")
