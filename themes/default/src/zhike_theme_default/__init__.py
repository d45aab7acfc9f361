"""The look of Zhike: templates of the page frame, styles, scripts, and icons."""

from zhike_theme_default.assets import AssetsMissing, icon, require_assets

__all__ = ["AssetsMissing", "icon", "require_assets"]
