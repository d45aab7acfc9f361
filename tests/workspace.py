"""Where the workspace's files are, for the guards in this folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "core" / "src" / "zhike"


def tracked() -> list[Path]:
    """Return every file that git tracks or would track, without folders and deleted files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def product_modules() -> list[Path]:
    """Return the Python modules of all distributions, without tests and migrations."""
    sources = list(CORE.rglob("*.py"))
    for folder in ("src", "limits"):
        sources += (ROOT / "bench" / folder).rglob("*.py")
    for group in ("plugins", "contrib_connectors", "themes"):
        sources += (ROOT / group).glob("*/src/**/*.py")
    return sorted(path for path in sources if "piccolo_migrations" not in path.parts)
