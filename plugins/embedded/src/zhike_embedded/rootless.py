"""Who PostgreSQL runs as: it refuses to run as root, and needs a user that the system knows by name."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Sequence
from pathlib import Path

from zhike_embedded.failures import Failure

_NEW_USER_NAMESPACE = 0x10000000  # CLONE_NEWUSER of <sched.h>


class Identity:
    """The user a server runs as.

    Args:
        owner: Id of the user that the server's files belong to on disk.
        group: Id of their group.
        peer: Name under which the server sees our own processes.
        become: Turns a freshly forked child into that user.
    """

    def __init__(self, owner: int, group: int, peer: str, become: Callable[[], None]) -> None:
        self.owner = owner
        self.group = group
        self.peer = peer
        self.become = become

    def own(self, path: Path) -> None:
        """Give a file or folder that we made to the server's user."""
        if self.owner != os.geteuid():
            os.chown(path, self.owner, self.group)


def choose(cluster: Path) -> Identity:
    """Return who is to run the server of a cluster, which may not exist yet.

    Ourselves, if we may. As root, or without a name in the system's user list, PostgreSQL runs in a user
    namespace where our own id has another number: it can still enter every folder that is ours. Where
    namespaces are forbidden, root runs it as `nobody`. A cluster that exists decides by its owner.

    Raises:
        Failure: If there is no such user.
    """
    user, group = os.geteuid(), os.getegid()
    name = _name(user)
    if user and name:
        return Identity(user, group, name, lambda: None)
    owner = cluster.stat().st_uid if cluster.exists() else None
    if owner in (None, user):
        inside = _unprivileged()
        mapped = Identity(user, group, inside.pw_name, lambda: _enter_namespace(inside, user, group))
        if _answer(mapped.become) == "":
            return mapped
    nobody = pwd.getpwnam("nobody")
    if user:
        raise Failure("no_name", user=str(user))
    if owner not in (None, nobody.pw_uid):
        raise Failure("no_namespace", folder=str(cluster))

    def drop() -> None:
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    return Identity(nobody.pw_uid, nobody.pw_gid, name or "root", drop)


def check_reach(identity: Identity, paths: Sequence[Path]) -> None:
    """Make sure that the server's user can enter all the folders of some paths.

    Raises:
        Failure: If not; it names the first folder in the way.
    """

    def first_closed() -> str:
        identity.become()
        folders = (folder for path in paths for folder in [*reversed(path.parents), path])
        return next((str(folder) for folder in folders if not os.access(folder, os.X_OK)), "")

    closed = _answer(first_closed)
    if closed:
        raise Failure("unreachable", folder=closed, user=_name(identity.owner) or str(identity.owner))


def _name(user: int) -> str | None:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return None


def _unprivileged() -> pwd.struct_passwd:
    """Return a user that a mapped server may appear as.

    `nobody` comes last: the kernel shows every user from outside a namespace under its number, so that the
    server's check of who connects could not tell them from us.
    """
    for number in (1, 2, 3):
        if _name(number):
            return pwd.getpwuid(number)
    return pwd.getpwnam("nobody")


def _enter_namespace(inside: pwd.struct_passwd, user: int, group: int) -> None:
    if hasattr(os, "unshare"):  # Python 3.12
        os.unshare(_NEW_USER_NAMESPACE)
    else:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "unshare"):
            raise OSError("this system has no user namespaces")
        if libc.unshare(_NEW_USER_NAMESPACE):
            raise OSError(ctypes.get_errno(), "unshare")
    # man 7 user_namespaces: without "deny" an ordinary user may not map a group.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside.pw_uid} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside.pw_gid} {group} 1")


def _answer(question: Callable[[], str | None]) -> str:
    """Run a function in a child, whose user may change, and return its answer; its error if it raises one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = question() or ""
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, os.fsencode(answer))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = os.fsdecode(stream.read())
    os.waitpid(child, 0)
    return answer
