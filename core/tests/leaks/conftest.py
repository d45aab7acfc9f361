"""A company full of canaries, who sees everything of it, and attackers who do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from leaks_world import ATTACKERS, Asker, Become, World, attacker, build, write_plugin

from zhike.hooks import BUDGETS

if TYPE_CHECKING:
    from zhike._host.web.app import Application
    from zhike.platform import Platform
    from zhike.testing.plugin import MakeToken


@pytest.fixture
def plugins() -> None:
    """All that are installed run."""


@pytest.fixture(autouse=True)
def _no_plugins() -> None:
    """Also those of this workspace."""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for two seconds makes no difference between two answers with panels or health."""
    monkeypatch.setitem(BUDGETS, "provide", 60.0)


@pytest.fixture(scope="session")
def hooks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin `leaky`; one folder, so that it is tried once."""
    return write_plugin(tmp_path_factory.mktemp("leaky") / "hooks")


@pytest.fixture
async def admin(app: Application, make_token: MakeToken) -> Asker:
    """Asks as somebody who sees everything."""
    return Asker(app, await make_token("admin"))


@pytest.fixture
async def world(platform: Platform, admin: Asker) -> World:
    """What there is."""
    return await build(platform, admin)


@pytest.fixture
async def become(app: Application, platform: Platform, world: World) -> Become:
    """Returns who asks as one of the attackers, `await become("masked")`."""

    async def made(kind: str) -> Asker:
        scope, rule = ATTACKERS[kind]
        user = world.user if scope == "own" else None
        return Asker(app, await attacker(platform, kind, scope=scope, rule=rule, user=user), kind=kind)

    return made
