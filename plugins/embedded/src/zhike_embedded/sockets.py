"""Where the socket lies: in the cluster's folder, or elsewhere when no socket can have that path."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zhike_embedded.folder import Folder
from zhike_embedded.rootless import Identity

_LONGEST = 90  # bytes; sun_path holds 107 and "/.s.PGSQL.5432.lock" comes after


def socket_folder(folder: Folder, identity: Identity) -> Path:
    """Return a folder only `identity` and root can enter.

    A cluster path with a comma cannot be used (PostgreSQL and its clients read a list there), nor a long one.
    The other place is recorded in the data folder: whichever process starts the server again, with whatever
    TMPDIR, must come back to the address that the running ones know.
    """
    if _usable(folder.cluster):
        return folder.cluster
    try:
        owner, _, recorded = os.fsdecode(folder.socket_record.read_bytes()).partition("\n")
    except FileNotFoundError:
        owner = recorded = ""
    # A copied data folder brings the record of the original along.
    if owner == str(folder.data) and _private(Path(recorded), identity):
        return Path(recorded)
    place = _make(folder, identity)
    renewed = folder.socket_record.with_suffix(".new")
    renewed.write_bytes(os.fsencode(f"{folder.data}\n{place}"))
    renewed.rename(folder.socket_record)
    return place


def _usable(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST and "," not in str(path)


def _make(folder: Folder, identity: Identity) -> Path:
    import hashlib
    import tempfile

    name = f"zhike-{os.geteuid()}-{hashlib.sha256(os.fsencode(folder.data)).hexdigest()[:16]}"
    base = Path(tempfile.gettempdir())
    if not _usable(base / name):
        base = Path("/tmp")  # noqa: S108 - the folder made there is checked to be ours alone
    if _private(base / name, identity):
        return base / name
    other = Path(tempfile.mkdtemp(prefix=f"zhike-{os.geteuid()}-", dir=base))  # somebody took that name
    identity.own(other)
    return other


def _private(place: Path, identity: Identity) -> bool:
    """Make the folder if it is missing, and tell whether it belongs to the server's user alone."""
    try:
        place.mkdir(mode=0o700)
        identity.own(place)
    except FileExistsError:
        pass
    except OSError:
        return False
    found = place.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == identity.owner and stat.S_IMODE(found.st_mode) == 0o700
