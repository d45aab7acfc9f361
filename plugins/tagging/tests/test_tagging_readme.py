"""The README tells the truth: its code is that of the plugin, and it leaves no file out."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

PLUGIN = Path(__file__).parents[1]
SOURCE = PLUGIN / "src" / "zhike_tagging"
README = (PLUGIN / "README.md").read_text(encoding="utf-8")


def test_its_code_is_quoted_from_the_file_it_names():
    quoted = [
        textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)
    ]
    assert len(quoted) >= 5
    for block in quoted:
        name, code = re.match(r"# ([\w/]+\.py)\n(.*)", block, re.DOTALL).groups()
        assert code.strip("\n") in (SOURCE / name).read_text(encoding="utf-8"), code


def test_it_goes_through_every_file():
    missing = [
        path.name
        for path in SOURCE.rglob("*.py")
        if f"`{path.name}`" not in README and path.name not in README and path.name != "__init__.py"
    ]
    assert not missing
