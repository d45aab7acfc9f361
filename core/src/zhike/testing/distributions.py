"""Distributions that tests install without pip: a folder on sys.path with the files pip would have put there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path


def make_distribution(
    folder: Path,
    name: str,
    files: Mapping[str, str],
    *,
    version: str = "1.0",
    requires: Sequence[str] = ("zhike",),
    entry: str | None = None,
    distribution: str | None = None,
) -> Path:
    """Write an installed distribution of a plugin.

    Args:
        folder: Where to; it becomes installed when the folder is on sys.path.
        name: The plugin's name.
        files: Contents by path relative to the folder, such as `{"zhike_tagging/plugin.py": "…"}`.
        version: The distribution's version.
        requires: Its requirements, one `Requires-Dist` each.
        entry: What the plugin's entry point names; the module of the first file when absent.
        distribution: The distribution's name; `zhike-<name>` when absent.

    Returns:
        Its folder `<distribution>-<version>.dist-info`.
    """
    distribution = distribution or f"zhike-{name}"
    if entry is None:
        entry = next(iter(files)).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    info = f"{distribution.replace('-', '_')}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    contents = {
        **files,
        f"{info}/METADATA": "\n".join([*lines, *(f"Requires-Dist: {each}" for each in requires), ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: zhike.testing\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/INSTALLER": "zhike.testing\n",
        f"{info}/entry_points.txt": f"[zhike.plugins]\n{name} = {entry}\n",
    }
    record = []
    for place, content in contents.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{place},sha256={digest},{len(content.encode())}")
    (folder / info / "RECORD").write_text("\n".join([*record, f"{info}/RECORD,,", ""]), encoding="utf-8")
    return folder / info
