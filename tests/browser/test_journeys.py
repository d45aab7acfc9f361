"""What people do with mouse and keyboard, from the first login on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from making import customer, sent, until

try:
    from playwright.sync_api import expect
except ImportError:  # the tests are skipped, or fail under CI
    expect: Any = None  # type: ignore[no-redef]

if TYPE_CHECKING:
    import httpx

    from conftest import Visit, Visits

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("journeys")]
SCRIPT = "<img src=x onerror='window.broken = 1'><script>window.broken = 1</script>"
LONG = "很长的名字" * 100


def test_a_wrong_password_is_said_and_the_right_one_leads_to_the_page_that_was_wanted(visits: Visits) -> None:
    visit = visits("", locale="en-US")
    page = visit.page
    visit.go("/customers?q=%E7%8E%8B")
    assert "/login?next=" in page.url
    page.get_by_label("Login").fill("admin")
    page.get_by_label("Password").fill("not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Login")).to_have_value("admin")
    page.get_by_label("Password").fill(visit.site.password)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/customers\?q="))
    expect(page.get_by_role("heading", level=1, name="Customers")).to_be_visible()
    visit.settle()
    visit.check(401)


def test_a_customer_is_found_by_phone_with_the_keyboard_alone(api: httpx.Client, visit: Visit) -> None:
    found = customer(api, "沈青禾", "13911112222")
    page = visit.page
    visit.go("/")
    page.keyboard.press("Control+k")
    page.keyboard.insert_text("13911112222")  # at once: what half a number finds would move under the arrow keys
    options = page.locator("#zk-palette [role=option]")
    wanted = options.filter(has_text="沈青禾")
    expect(wanted).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(options.first).to_have_attribute("aria-selected", "true")
    for _ in range(options.count()):
        if wanted.get_attribute("aria-selected") == "true":
            break
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/customers/{found}$"))
    visit.settle()
    visit.check()


def test_a_double_click_makes_one_task_and_nobody_is_asked_about_leaving(api: httpx.Client, visit: Visit) -> None:
    page, asked = visit.page, []

    def leave(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)
    visit.go("/tasks/new")
    page.locator("[name=title]").fill("双击只算一次")
    page.locator("#new-task [type=submit]").dblclick()
    page.wait_for_url(re.compile(r"/tasks(/\d+)?(\?.*)?$"))
    visit.settle()
    items = api.get("/tasks", params={"q": "双击只算一次"}).json()["items"]
    assert [item["title"] for item in items].count("双击只算一次") == 1
    assert asked == []
    visit.check()


def test_leaving_a_form_that_was_changed_asks_first(visit: Visit) -> None:
    page, asked = visit.page, []
    visit.go("/tasks/new")
    page.locator("[name=title]").click()
    page.keyboard.type("尚未保存")

    def stay(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    with page.expect_event("dialog"):  # it may come when the assignment is over
        page.evaluate("location.href = '/customers'")
    expect(page.locator("[name=title]")).to_have_value("尚未保存")
    assert asked == ["beforeunload"]
    visit.check()


def test_a_session_that_ends_while_a_form_is_filled_loses_nothing(visits: Visits, api: httpx.Client) -> None:
    visit = visits("", locale="en-US")  # a session of its own, which ends
    page = visit.page
    visit.go("/login?next=/tasks/new")
    visit.log_in("admin", visit.site.password)
    page.wait_for_url("**/tasks/new")
    page.locator("[name=title]").fill("登录过期也不丢")
    other = page.context.new_page()
    other.goto(f"{visit.site.url}/profile")
    other.evaluate("document.querySelector('form[action=\"/logout\"]').submit()")
    other.wait_for_url(re.compile("/login"))
    page.locator("#new-task [type=submit]").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Password").fill("not this one")
    dialog.get_by_label("Login").fill("admin")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_be_visible()
    dialog.get_by_label("Password").fill(visit.site.password)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator("[name=title]")).to_have_value("登录过期也不丢")
    credentials = {"login": "admin", "password": visit.site.password}  # another window logs in once more
    page.request.post(f"{visit.site.url}/login", form=credentials, headers={"origin": visit.site.url})
    page.locator("#new-task [type=submit]").click()
    expect(dialog).to_contain_text("This page was opened before you last logged in")
    visit.log_in("admin", visit.site.password)
    expect(dialog).to_have_count(0)
    page.locator("#new-task [type=submit]").click()
    page.wait_for_url(re.compile(r"/tasks(/\d+)?(\?.*)?$"))
    items = api.get("/tasks", params={"q": "登录过期也不丢"}).json()["items"]
    assert [item["title"] for item in items] == ["登录过期也不丢"]
    visit.settle()
    visit.check(401, 403)


def test_a_login_that_has_to_wait_says_how_long_and_keeps_what_was_typed(visits: Visits) -> None:
    visit = visits("", locale="en-US")
    page = visit.page
    visit.go("/login")
    guess = {"login": "journey.nobody", "password": "not this one"}
    headers = {"origin": visit.site.url, "hx-request-type": "partial", "accept-language": "en"}
    while (refused := page.request.post(f"{visit.site.url}/login", form=guess, headers=headers)).status != 429:
        assert refused.status == 401
    page.route("**/login", lambda route: route.fulfill(response=refused))  # since the wait may be over by now
    visit.log_in(**guess)
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Too many attempts to log in; try again in \d+ s"))
    expect(page.locator("[name=login]")).to_have_value("journey.nobody")
    expect(page.locator("[name=password]")).to_have_value("not this one")
    visit.check(429)


def test_the_back_button_leads_through_what_a_list_was_narrowed_to(visit: Visit) -> None:
    page = visit.page
    visit.go("/customers")
    # A choice is one change; a typed word asks a second time after a pause, which may fall into what comes next.
    stage = page.locator("#customers select[name=stage]")
    stage.select_option(label="活跃")
    chosen = str(stage.input_value())
    page.wait_for_url(re.compile(rf"[?&]stage={chosen}"))
    visit.settle()
    page.locator("#customers tbody a").first.click()
    page.wait_for_url(re.compile(r"/customers/\d+$"))
    page.go_back()
    page.wait_for_url(re.compile(rf"[?&]stage={chosen}"))
    expect(stage).to_have_value(chosen)
    visit.check()


@pytest.mark.parametrize(("name", "phone"), [(SCRIPT, "13911114444"), (LONG, "13911115555")])
def test_scripts_and_long_names_are_texts_like_others(api: httpx.Client, visit: Visit, name: str, phone: str) -> None:
    page, found = visit.page, customer(api, name, phone)
    task = sent(api.post("/tasks", json={"title": name[:200], "customer_id": found}))
    for path in (
        f"/customers?q={phone}",
        f"/customers/{found}",
        f"/customers/{found}/edit",
        f"/tasks/{task['id']}",
        f"/tasks/board?{urlencode({'whose': 'all', 'q': name[:20]})}",
    ):
        visit.go(path)
        typed = page.locator("main input").evaluate_all("all => all.map((one) => one.value)")
        assert name[:40] in page.locator("main").inner_text() + "".join(typed), path
        assert page.evaluate("window.broken") is None
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, (path, width)
        visit.check()


def test_the_keyboard_reaches_content_menus_and_dialogs(visit: Visit) -> None:
    page = visit.page
    visit.go("/customers")
    page.keyboard.press("Tab")
    assert (page.evaluate("document.activeElement.getAttribute('href')") or "").startswith("#")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") or page.evaluate("document.activeElement.closest('main') !== null")
    menu = page.locator("header [data-menu], [data-menu]").first
    menu.focus()
    page.keyboard.press("Enter")
    expect(menu).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(menu).to_have_attribute("aria-expanded", "false")
    visit.go("/teams")
    opener = page.locator("[hx-get='/teams/new']").first
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#zk-dialog[open]")
    expect(dialog).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        # From the last field the focus may pass through the browser's own bar, and comes back into the dialog.
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_duplicates_are_merged_and_taken_apart_again(visit: Visit, api: httpx.Client) -> None:
    alike = [customer(api, "双生客户", phone) for phone in ("13911116661", "13911116616", "13911116667")]
    page = visit.page
    visit.go("/duplicates")
    page.get_by_role("button", name="Compare all again").click()
    page.locator("dialog[open]").get_by_role("button", name="Compare all again").click()
    wanted = {"customer_id": alike[0]}
    until(lambda: len(sent(api.get("/customers/duplicates", params=wanted))["items"]) == 2)
    visit.go(f"/duplicates?customer={alike[0]}")
    items = page.locator("[data-queue-item]")
    expect(items).to_have_count(2)
    links = items.first.get_by_role("columnheader").get_by_role("link")
    paths = [str(each.get_attribute("href")) for each in links.all()]
    merged = page.locator(f"#{items.first.get_attribute('id')}")
    merged.get_by_role("button", name="Merge").click()
    expect(merged).to_contain_text("They are one now")
    expect(items.first).to_be_focused()
    assert len({sent(api.get(path))["id"] for path in paths}) == 1
    merged.get_by_role("button", name="Undo").click()
    page.wait_for_url(re.compile(r"/customers/\d+$"))
    expect(page.get_by_text("The merge is undone")).to_be_visible()
    assert {sent(api.get(path))["id"] for path in paths} < set(alike)
    visit.settle()
    visit.check()


def test_paper_is_white_and_the_chosen_tab_of_a_narrow_window_is_in_sight(visits: Visits) -> None:
    visit = visits(locale="en-US", dark=True, width=390)
    page = visit.page
    visit.go("/duplicates/merges")
    shown = page.locator("html")
    expect(shown).to_have_attribute("data-bs-theme", "dark")
    expect(page.locator(".zk-tabs [aria-current]")).to_be_in_viewport(ratio=1)
    page.emulate_media(media="print")
    expect(shown).to_have_attribute("data-bs-theme", "light")
    page.emulate_media(media="screen")
    expect(shown).to_have_attribute("data-bs-theme", "dark")
    visit.check()
