"""What the states of plugins, jobs and consumers are called, and how long something takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zhike.i18n import Text, text

Said = Mapping[str, Any]

PLUGINS: Mapping[str, Said] = {
    "ok": {"label": text("Running"), "color": "green"},
    "pending": {"label": text("Waits for a restart"), "color": "yellow"},
    "impaired": {"label": text("Impaired"), "color": "orange"},
    "disabled": {"label": text("Off"), "color": "gray"},
    "quarantined": {"label": text("Quarantined"), "color": "red"},
    "missing": {"label": text("Not installed"), "color": "red"},
}
STAGES: Mapping[str, Text] = {
    "discover": text("when it was looked for"),
    "version": text("when versions were compared"),
    "trial": text("when it was tried"),
    "import": text("when it was imported"),
    "register": text("when it registered"),
    "registry": text("when what it registers was checked"),
    "migration": text("when its tables were made"),
    "run": text("while it ran"),
}
JOBS: Mapping[str, Said] = {
    "waiting": {"label": text("Waiting"), "color": "gray"},
    "running": {"label": text("Running"), "color": "blue"},
    "failed": {"label": text("Failed"), "color": "red"},
}
CONSUMERS: Mapping[str, Said] = {
    "running": {"label": text("Running"), "color": "green"},
    "paused": {"label": text("Paused"), "color": "orange"},
    "off": {"label": text("Off"), "color": "gray"},
}
MODES: Mapping[str, Text] = {
    "live": text("live"),
    "backfill": text("catches up on earlier events"),
    "rebuild": text("starts over"),
}


def lasting(seconds: float) -> Text:
    """Return a length of time in the greatest unit that it has one of."""
    for size, said in ((86_400, text("{n} d")), (3_600, text("{n} h")), (60, text("{n} min"))):
        if seconds >= size:
            return Text(said.msgid, {"n": int(seconds // size)})
    return text("{n} s", n=int(seconds))
