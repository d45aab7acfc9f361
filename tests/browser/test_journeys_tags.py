"""Tags: given to many at once, by a rule that somebody builds, and by a rule that two people change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from making import bought, customer, sent, tag, until

try:
    from playwright.sync_api import expect
except ImportError:  # the tests are skipped, or fail under CI
    expect: Any = None  # type: ignore[no-redef]

if TYPE_CHECKING:
    import httpx

    from conftest import Visit, Visits

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("journeys")]


def until_tagged(api: httpx.Client, customer_id: int, name: str) -> None:
    """Wait until a customer has a tag: rules are evaluated in the background."""
    until(lambda: name in [each["tag"] for each in sent(api.get(f"/tagging/customers/{customer_id}/tags"))["items"]])


def company(name: str) -> dict[str, Any]:
    """Return the condition that a customer works somewhere."""
    return {"type": "all", "of": [{"type": "field", "field": "customer.company", "op": "eq", "value": name}]}


def test_customers_picked_in_the_list_get_a_tag_together(api: httpx.Client, visit: Visit) -> None:
    for name, phone in (("批量甲", "13933330001"), ("批量乙", "13933330002"), ("批量丙", "13933330003")):
        customer(api, name, phone)
    tag(api, "一起打的标签")
    page = visit.page
    visit.go("/customers?q=批量")
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Tags").check()
    page.get_by_role("button", name="Apply").first.click()
    rows = page.locator("#customers tbody tr")
    expect(page.get_by_role("columnheader", name="Tags")).to_be_visible()
    expect(rows).to_have_count(3)
    for name in ("批量甲", "批量丙"):
        rows.filter(has_text=name).get_by_role("checkbox").check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Add a tag").click()
    dialog = page.locator("#zk-dialog[open]")
    expect(dialog).to_contain_text("2 customers get the tag")
    dialog.get_by_role("combobox", name="Tag").click()
    page.keyboard.insert_text("一起打")
    dialog.get_by_role("option", name="一起打的标签").click()
    dialog.get_by_role("button", name="Start").click()
    expect(dialog.get_by_text("Done", exact=True)).to_be_visible()
    expect(dialog).to_contain_text("2 / 2")
    dialog.get_by_role("button", name="Close").last.click()
    expect(dialog).to_have_count(0)
    page.reload()
    for name, count in (("批量甲", 1), ("批量乙", 0), ("批量丙", 1)):
        expect(rows.filter(has_text=name).get_by_text("一起打的标签")).to_have_count(count)
    # More than a page can be picked as well, and is told how many it is before anything happens.
    visit.go("/customers")
    page.get_by_role("checkbox", name="Select all on this page").check()
    page.get_by_role("button", name="Select all that match").click()
    expect(page.get_by_text("All that match are selected")).to_be_visible()
    page.get_by_role("button", name="Add a tag").click()
    expect(dialog).to_contain_text(re.compile(r"\b\d[\d,]{2,} customers get the tag"))
    dialog.get_by_role("button", name="Cancel").click()
    visit.settle()
    visit.check()


def test_a_rule_that_is_built_takes_effect_at_once_and_when_something_happens(api: httpx.Client, visit: Visit) -> None:
    early = customer(api, "规则甲", "13933330004")
    late = customer(api, "规则乙", "13933330005")
    bought(api, "13933330004", 7_770_000)
    page = visit.page
    visit.go("/tagging")
    page.get_by_role("link", name="New tag").last.click()
    page.wait_for_url(re.compile(r"/tagging/tags/new"))
    page.get_by_label("Name of the tag").fill("买得特别多")
    page.get_by_role("switch", name="By rule").press("Space")
    page.get_by_role("button", name="Add behaviour").click()
    rule, count = page.locator(".zk-rule"), page.locator(".zk-condition-count")
    rule.get_by_role("combobox", name="Add behaviour").select_option(label="Order paid")
    expect(count).to_contain_text(re.compile(r"\d+ customers match"))
    rule.get_by_role("combobox", name="Value").select_option(label="sum of")
    amount = rule.get_by_role("spinbutton", name="Value").last
    amount.fill("7770000")
    expect(count).to_have_text("1 customer matches")
    amount.fill("")
    expect(count).not_to_contain_text("match")
    amount.fill("7770000")
    expect(count).to_have_text("1 customer matches")
    page.get_by_role("button", name="Save").press("Enter")
    page.wait_for_url(re.compile(r"/tagging/tags/\d+$"))
    members = page.locator("#tag-members .zk-tile-value")
    expect(members).to_have_text("1")
    visit.settle()
    visit.check()
    until_tagged(api, early, "买得特别多")
    bought(api, "13933330005", 8_000_000)
    until_tagged(api, late, "买得特别多")
    visit.go(f"/customers/{late}")
    page.locator("[data-panel='tagging.tags']").get_by_role("button", name="买得特别多").click()
    dialog = page.locator("#zk-dialog[open]")
    expect(dialog).to_contain_text("Why this tag?")
    expect(dialog).to_contain_text("sum of amount at least 7,770,000 found: 8,000,000")
    visit.settle()
    visit.check()


def test_whoever_saves_a_rule_second_sees_both_and_loses_nothing(visits: Visits, api: httpx.Client) -> None:
    path = f"/tagging/tags/{tag(api, '两个人改', company('甲公司'))}"
    first, second = visits(locale="en-US"), visits("lu.yiming", locale="en-US")
    for visit in (first, second):
        visit.go(f"{path}/edit")
        expect(visit.page.locator(".zk-rule input")).to_have_value("甲公司")
    first.page.locator(".zk-rule input").fill("乙公司")
    first.page.get_by_role("button", name="Save").click()
    first.page.wait_for_url(re.compile(rf"{path}$"))
    first.settle()
    first.check()

    page = second.page
    page.get_by_label("Name of the tag").fill("两个人改过")
    page.locator(".zk-rule input").fill("丙公司")
    page.get_by_role("button", name="Save").click()
    notice = page.get_by_role("note").filter(has_text="Somebody else has saved this meanwhile")
    expect(notice).to_contain_text("乙公司")
    expect(notice).to_contain_text("两个人改")
    expect(page.get_by_label("Name of the tag")).to_have_value("两个人改过")
    expect(page.locator(".zk-rule input")).to_have_value("丙公司")
    second.check(409)
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile(rf"{path}$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("两个人改过")
    expect(page.locator("main")).to_contain_text("丙公司")
    second.settle()
    second.check()


def test_a_rule_says_that_its_field_has_been_archived(api: httpx.Client, visit: Visit) -> None:
    sent(api.post("/customers/fields", json={"key": "journey_points", "label": "旅程积分", "type": "number"}))
    points = {"type": "field", "field": "customer.attributes.journey_points", "op": "gte", "value": 12_000}
    path = f"/tagging/tags/{tag(api, '积分很多', points)}"
    page = visit.page
    visit.go(path)
    expect(page.locator("main")).to_contain_text("旅程积分 at least 12,000")
    visit.go("/settings/fields")
    page.get_by_role("link", name="旅程积分").click()
    page.wait_for_url(re.compile(r"/settings/fields/."))
    page.get_by_role("button", name="Archive").click()
    page.locator("dialog[open]").get_by_role("button", name="Archive").click()
    expect(page.get_by_text("旅程积分 is archived; its values stay")).to_be_visible()
    visit.go(path)
    expect(page.locator("main")).to_contain_text("旅程积分 at least 12,000 (the field is archived")
    visit.go(f"{path}/edit")
    expect(page.locator(".zk-rule input").last).to_have_value("12000")
    visit.settle()
    visit.check()
