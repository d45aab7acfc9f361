"""docs/security.md has a row for every item of the ASVS it is about, and the tests it names exist."""

from __future__ import annotations

import re

from workspace import ROOT, tracked

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if re.match(r"\| \d+\.\d", line)]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]
# The items of levels 1 and 2 in these chapters of the ASVS 5.0.0, a word a section: section, then items.
ITEMS = """
3.2:1,2 3.3:1,2,3,4 3.4:1,2,3,4,5,6 3.5:1,2,3,4,5 3.7:1,2
5.1:1 5.2:1,2,3 5.3:1,2 5.4:1,2,3
6.1:1,2,3 6.2:1,2,3,4,5,6,7,8,9,10,11,12 6.3:1,2,3,4 6.4:1,2,3,4 6.5:1,2,3,4,5 6.6:1,2,3 6.8:1,2,3,4
7.1:1,2,3 7.2:1,2,3,4 7.3:1,2 7.4:1,2,3,4,5 7.5:1,2 7.6:1,2
8.1:1,2 8.2:1,2,3 8.3:1 8.4:1
9.1:1,2,3 9.2:1,2,3,4
11.1:1,2 11.2:1,2,3 11.3:1,2,3 11.4:1,2,3,4 11.5:1 11.6:1
16.1:1 16.2:1,2,3,4,5 16.3:1,2,3,4 16.4:1,2,3 16.5:1,2,3
"""


def test_every_item_has_a_row_with_a_state_and_a_reason() -> None:
    sections = (word.split(":") for word in ITEMS.split())
    assert [row[0] for row in ROWS] == [f"{section}.{item}" for section, items in sections for item in items.split(",")]
    assert {row[1] for row in ROWS} <= {"yes", "partly", "no", "n/a"}
    assert not [row[0] for row in ROWS if not row[2]]


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    sources = [path.read_text(encoding="utf-8") for path in tracked() if path.name.startswith("test_")]
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}
    assert len(named) > 60
    assert not sorted(named - defined)
