"""Where the theme's files are, and its icons as inline SVG."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from markupsafe import Markup

_VENDOR = Path(__file__).parent / "static" / "vendor"
_PAINT = {
    "outline": Markup(
        'fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"'
    ),
    "filled": Markup('fill="currentColor"'),
}
_SVG = Markup('<svg class="icon" width="24" height="24" viewBox="0 0 24 24" aria-hidden="true" {}>{}</svg>')


class AssetsMissing(RuntimeError):
    """The third-party files are not there: built without them, or removed; the message says how to get them."""

    def __init__(self) -> None:
        super().__init__(
            "The theme's web assets are missing. Run: python -m pip install -e themes/default, "
            "or install a wheel of zhike-theme-default"
        )


def require_assets() -> None:
    """Look whether the third-party files are there.

    Raises:
        AssetsMissing: If they are not.
    """
    if not (_VENDOR / "manifest.json").is_file():
        raise AssetsMissing


@functools.lru_cache(maxsize=1024)
def icon(name: str) -> Markup:
    """Return an icon as inline SVG that takes the colour of the text around it; it is decoration, not read aloud.

    Args:
        name: Its name in Tabler Icons, such as `user-plus`, or `filled:star`; an unknown one gives a question mark.

    Raises:
        AssetsMissing: If the third-party files are not there.
    """
    style, _, short = name.rpartition(":")
    icons = _icons()
    shapes = icons[style or "outline"].get(short) or icons["outline"]["help-square"]
    return _SVG.format(_PAINT[style or "outline"], Markup(shapes))  # noqa: S704 -- the build checks that it is only shapes


@functools.cache
def _icons() -> dict[str, dict[str, str]]:
    try:
        icons: dict[str, dict[str, str]] = json.loads((_VENDOR / "icons" / "icons.json").read_text("utf-8"))
    except FileNotFoundError:
        raise AssetsMissing from None
    return icons
