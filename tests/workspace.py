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


def packages() -> list[Path]:
    """Return the folder of every package of every distribution."""
    sources = ("core/src", "plugins/*/src", "contrib_connectors/*/src", "themes/*/src", "bench/src", "bench/limits")
    return sorted(path.parent for source in sources for path in ROOT.glob(f"{source}/*/__init__.py"))


def extensions() -> list[Path]:
    """Return the packages of plugins and connectors, which may use no more of the core than what is public."""
    return [path for path in packages() if path.parents[2].name in {"plugins", "contrib_connectors"}]


def modules_of(package: Path) -> list[Path]:
    """Return the Python modules of one package, without migrations."""
    return sorted(path for path in package.rglob("*.py") if "piccolo_migrations" not in path.parts)


def product_modules() -> list[Path]:
    """Return the Python modules of all distributions, without tests and migrations."""
    return [path for package in packages() for path in modules_of(package)]
