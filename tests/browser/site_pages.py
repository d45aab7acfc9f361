"""Every page there is, by its address on the sample company: found by following links, as a reader finds it."""

from __future__ import annotations

import csv
import functools
import html
import importlib
import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import httpx
from making import until

from workspace import ROOT
from zhike.contracts import PageRoute
from zhike.platform import assemble, core_plugins

ALONE = ("/dev/gallery", "/login", "/deadletters/replay?consumer=tagging", "/plugins/exports/enable")
"""Addresses that the sample company leads nobody to: for developers, for whoever is not there, for when things fail."""
PARTS = {
    "/audit/chain": "what a check of the audit's chain has found; stands in /audit",
    "/conditions/catalogue": "data of the condition builder",
    "/consumers/{name}/count": "a number in the dialog that goes back to an earlier position",
    "/customers/{customer_id}/export": "a file",
    "/customers/{customer_id}/timeline/new": "what has come in since, in the customer's page",
    "/dev/gallery/panel": "a card in /dev/gallery",
    "/erasures/{erasure_id}": "how far an erasure is, in the answer that started it",
    "/events/tail": "what has come in since, in /events",
    "/exports": "leads to the first kind of export",
    "/exports/{kind}/file": "a file",
    "/files/{file_id}": "a file",
    "/imports/samples/{kind}": "a file",
    "/imports/{import_id}/progress": "how far an import is, in its page",
    "/imports/{import_id}/rejected": "a file",
    "/notices/bell": "the menu of the bell",
    "/notices/count": "a number beside the bell",
    "/notices/{notice_id}": "leads to what the notice is about",
    "/plugins/{name}/health": "a card in the plugin's page",
    "/progress/{progress_id}": "how far some work is, in the answer that started it; the sample company has none",
    "/search/pick": "data of pickers",
    "/search/suggest": "data of the command palette",
    "/settings/fields/use": "a card in the field's page",
    "/start/panels/{key}": "a card in the home page",
    "/tasks/due": "a help text in the form of a new task",
    "/tasks/{task_id}/comments": "a card in the task's page",
    "/tasks/{task_id}/comments/colleagues": "entries of a menu in the task's page",
    "/tasks/{task_id}/items": "a card in the task's page",
}
"""Addresses that answer no page and no dialog, and what they are instead: their pages are looked at with them."""
_LINK = re.compile(r"""=["'](/[^"'\s{]*)["']""")


@functools.cache
def routes() -> list[PageRoute]:
    """Return what is looked at by GET: of the core and of all plugins of this workspace."""
    modules: dict[str, Any] = {}
    for path in sorted((ROOT / "plugins").glob("*/src/*/plugin.py")):
        name = path.parent.name
        modules[name.removeprefix("zhike_")] = importlib.import_module(f"{name}.plugin")
    registry = assemble({**core_plugins(), **modules}).registry
    return [page for _, page in registry.pages if page.method == "GET"]


def shown() -> list[str]:
    """Return the paths of routes that are a page or a dialog."""
    return sorted({route.path for route in routes()} - PARTS.keys())


class Places:
    """Finds an address of each page by following links; makes what the sample company has nothing of.

    Args:
        url: The server's address.
        password: The admin's.
        token: With an admin's rights.
    """

    def __init__(self, url: str, password: str, token: str) -> None:
        self.browser = httpx.Client(base_url=url, headers={"origin": url, "accept": "text/html"}, timeout=30)
        self.browser.post("/login", data={"login": "admin", "password": password})
        self._whole: dict[str, bool] = {}
        self._api = httpx.Client(base_url=f"{url}/api/v1", headers={"authorization": f"Bearer {token}"}, timeout=30)
        self.data: set[str] = set()
        """Texts of the sample company that the product has too: they are the same in any language."""
        self._addresses = self._follow(["/", *self._prepared()])

    def address(self, path: str) -> str | None:
        """Return an address of a route, or None if no link leads to one."""
        return self._addresses.get(path)

    def _note(self, path: str) -> None:
        """Take what an address of the API answers for data."""
        self.data |= set(_strings(self._get(path)))

    def close(self) -> None:
        """Close the connections."""
        self.browser.close()
        self._api.close()

    def whole(self, address: str) -> bool:
        """Return whether an address answers a page, and no dialog."""
        return self._whole.get(address, False)

    def _follow(self, wanted: list[str]) -> dict[str, str]:
        paths = sorted({route.path for route in routes()}, key=lambda path: (path.count("{"), path))
        patterns = [(path, re.compile(re.sub(r"{\w+}", "[^/?]+", path) + r"(\?.*)?")) for path in paths]
        found: dict[str, str] = {}
        links, seen = deque(wanted), set(wanted)
        asked = frozenset(wanted)
        while links:
            address = links.popleft()
            path = next((path for path, pattern in patterns if pattern.fullmatch(address)), None)
            # One page of each kind is enough, but each panel leads elsewhere.
            if path is None or (path in found and address not in asked and "/panels/" not in path):
                continue
            found.setdefault(path, address)
            if PARTS.get(path) != "a file":
                answer = self.browser.get(address).text
                self._whole[address] = "<html" in answer[:300]
                fresh = set(map(html.unescape, _LINK.findall(answer))) - seen
                seen |= fresh
                links.extend(sorted(fresh))
        return found

    def _prepared(self) -> list[str]:
        """Return addresses that no link leads to, of things that are made where there are none."""
        latest = self._get("/events?limit=1")["items"][0]["customer_id"]
        task = self._get("/tasks?limit=1")["items"][0]["id"]
        self._send(f"/tasks/{task}/comments", text="好的，明天联系")
        named = "q=%E7%8E%8B"
        self._send("/views/new", page="customers", address=named, name="姓王的客户")
        return [
            f"/customers?{named}",
            f"/customers/{latest}",
            f"/customers/{latest}/reveal?field=phone",
            f"/tasks/{task}",
            f"/tasks/{task}/comments",
            *self._imported(),
            *ALONE,
        ]

    def _imported(self) -> list[str]:
        """Import a file with one row that is rejected; return the addresses of the way there."""
        rows = "客户编号,姓名,生日\nZ900,林一一,1990-03-12\nZ901,林二二,不知道\n".encode()
        answer = self._send("/imports/new", files={"file": ("春季会员.csv", rows, "text/csv")})
        way = answer.headers["location"]
        asked = {"file_id": int(way.rpartition("/")[2]), "kind": "customers"}
        done = []
        for dry_run in (True, False):
            answer = self._api.post("/imports", json={**asked, "dry_run": dry_run})
            assert answer.status_code < 400, answer.text
            done.append(f"/imports/{answer.json()['id']}")
            until(lambda: self._get(done[-1])["state"] != "unfinished")
        for path in ("/users", "/customers/fields", done[-1]):
            self._note(path)
        # Why a row is rejected is kept in the language of whoever brought the file.
        rejected = self._api.get(f"{done[-1]}/rejected").raise_for_status().text
        self.data |= {row["zhike_reason"] for row in csv.DictReader(rejected.lstrip("\ufeff").splitlines())}
        return [f"{way}?kind=customers", *done[::-1]]

    def _get(self, path: str) -> Any:
        answer = self._api.get(path)
        answer.raise_for_status()
        return answer.json()

    def _send(self, path: str, files: Any = None, **fields: str) -> httpx.Response:
        csrf = re.search(r"X-CSRF-Token&#34;: &#34;([^&]+)|X-CSRF-Token\": \"([^\"]+)", self.browser.get("/").text)
        assert csrf
        headers = {"x-csrf-token": csrf[1] or csrf[2]}
        answer = self.browser.post(path, data=fields, files=files, headers=headers)
        assert answer.status_code < 400 or answer.status_code == 409, (path, answer.text[:500])  # 409: was made before
        return answer


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)
