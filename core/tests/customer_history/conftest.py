"""The plugin `imports` takes part here, unlike in the core's other tests."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_plugins() -> None:
    """All plugins of this workspace may be found."""
