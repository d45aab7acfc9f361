"""Whether a plugin is made for the core that runs, read from its distribution before any of its code is."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from zhike import __version__
from zhike._host.plugins.discover import Candidate
from zhike.i18n import text
from zhike.platform import Problem


def check(candidate: Candidate, running: str = __version__) -> Problem | None:
    """Compare what the plugin's distribution requires of `zhike` with what runs.

    pip checks it only when it installs the plugin, not when it upgrades the core later. Versions and ranges are
    those of https://packaging.python.org/en/latest/specifications/version-specifiers/, prereleases of the core
    allowed.

    Args:
        candidate: The plugin; a file of the hooks folder requires nothing.
        running: The core's version.

    Returns:
        What does not fit, or None.
    """
    for line in candidate.requires:
        try:
            requirement = Requirement(line)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        except ValueError:  # as InvalidRequirement is, and what packaging.markers raises
            return candidate.problem(
                "version", text("its requirement {line!r} cannot be understood; expected such as zhike>=1.2", line=line)
            )
        if canonicalize_name(requirement.name) != "zhike" or not applies:
            continue
        if not requirement.specifier.contains(running, prereleases=True):
            return _unfit(candidate, requirement, running)
    return None


def _unfit(candidate: Candidate, requirement: Requirement, running: str) -> Problem:
    what = text(
        "{plugin} {version} needs zhike{needed}, and zhike {running} runs",
        plugin=candidate.name,
        version=candidate.version,
        needed=str(requirement.specifier),
        running=running,
    )
    core_is_old = any(
        each.operator in {">", ">=", "~=", "=="} and Version(each.version.removesuffix(".*")) > Version(running)
        for each in requirement.specifier
    )
    if core_is_old:
        hint = text("Upgrade the core with `pip install 'zhike{needed}'`", needed=str(requirement.specifier))
        return candidate.problem("version", what, hint)
    return candidate.problem("version", what)
