"""The public surface of the core: it changes only when somebody says so in `public_api.txt` and the changelog."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import msgspec

MODULES = (
    *("api", "clock", "commands", "contracts", "errors", "hooks", "hookspecs", "http", "i18n", "ids", "money", "orm"),
    *("platform", "registry", "secrets", "settings", "testing.plugin", "vault", "wire", "work"),
    *("calendar.service", "calendar.working", "conditions.service", "config.service", "desk.notices", "desk.progress"),
    *("files.service", "tasks.service", "ui", "ui.forms", "ui.tables"),
)
# Constants do not say where they come from.
IMPORTED = {
    *("S", "Struct", "T", "TYPE_CHECKING", "UTC", "annotations"),
    *(
        "CONDITIONS_COUNT",
        "JOBS_MANAGE",
        "JOBS_READ",
        "desk.notices.MAX_ID",
        "desk.progress.MAX_ID",
        "ROLES",
        "TASKS_WRITE",
    ),
}
SNAPSHOT = Path(__file__).parent / "public_api.txt"


def surface() -> list[str]:
    """Return every public name that a public module defines, and the fields of its structs."""
    lines = []
    for short in MODULES:
        module = importlib.import_module(f"zhike.{short}")
        for name, value in sorted(vars(module).items()):
            home = getattr(value, "__module__", module.__name__)
            own = f"{home}.".startswith(f"{module.__name__}.") or hasattr(value, "zhike_meta")
            if name.startswith("_") or {name, f"{short}.{name}"} & IMPORTED or inspect.ismodule(value) or not own:
                continue
            fields = ""
            if isinstance(value, type) and issubclass(value, msgspec.Struct):
                fields = f"({', '.join(value.__struct_fields__)})"
            lines.append(f"zhike.{short}.{name}{fields}")
    return lines


def test_the_public_surface_is_the_one_written_down() -> None:
    assert surface() == SNAPSHOT.read_text(encoding="utf-8").splitlines()


def test_what_plugins_hand_over_is_frozen() -> None:
    from zhike import contracts
    from zhike.api import Public, Route

    structs = [
        value for value in vars(contracts).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)
    ]
    assert len(structs) > 10
    changing = {contracts.IncomingDraft}  # what amend_incoming_events is given is there to be changed
    assert {struct for struct in (Public, Route, *structs) if not struct.__struct_config__.frozen} == changing
