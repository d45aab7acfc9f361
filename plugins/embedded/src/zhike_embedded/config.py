"""The configuration of an embedded server: a laptop's or a small company's, durable first."""

from __future__ import annotations

import os
from pathlib import Path

from zhike_embedded.folder import PORT, ROLE
from zhike_embedded.rootless import Identity

_MB = 1024 * 1024
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def arguments(programs: Path, cluster: Path, socket_folder: Path) -> list[str]:
    """Return the command line of the server: what nobody should change, not even with ALTER SYSTEM."""
    fixed = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_folder),
        "unix_socket_permissions": "0700",
        "fsync": "on",
        "full_page_writes": "on",
        "restart_after_crash": "on",
        "logging_collector": "off",  # the keeper bounds the log; one process less
        "log_destination": "stderr",
        "cluster_name": "zhike",
    }
    options = [part for name, value in fixed.items() for part in ("-c", f"{name}={value}")]
    return [str(programs / "postgres"), "-D", str(cluster), "-p", str(PORT), *options]


def initdb_arguments(programs: Path, cluster: Path, major: int) -> list[str]:
    """Return the command line that makes a cluster: UTF-8, text compared by code point, checksums."""
    # From 17 on the locale is PostgreSQL's own, so that an index outlives an upgrade of the C library.
    provider = ["--locale-provider=builtin"] if major >= 17 else []
    return [
        *(
            str(programs / "initdb"),
            "-D",
            str(cluster),
            "-U",
            ROLE,
            "-E",
            "UTF8",
            *provider,
            "--locale=C.UTF-8",
        ),
        *("--data-checksums", "--auth-local=peer", "--auth-host=reject", "--no-instructions"),
    ]


def write(cluster: Path, identity: Identity) -> None:
    """Write the files that belong to us; postgresql.conf itself and ALTER SYSTEM stay the user's."""
    tuning = "".join(f"{name} = '{value}'\n" for name, value in tuned(memory()).items())
    # Peer: the kernel says who is at the other end of the socket. Beside the folder's mode (0700) this shuts
    # out other programs of the user `nobody`, where the server has to run as that. Whoever runs as our own
    # user can read the files anyway; no password would keep them out.
    access = f"local all {ROLE} peer map={ROLE}\nlocal replication {ROLE} peer map={ROLE}\n"
    head = "# Written by zhike at every start.\n"
    for name, content in {
        "zhike.conf": f"{head}# Change a setting with ALTER SYSTEM instead.\n{tuning}",
        "pg_hba.conf": head + access,
        "pg_ident.conf": f'{head}{ROLE} "{identity.peer}" {ROLE}\n',
    }.items():
        renewed = cluster / f"{name}.new"
        renewed.write_text(content, encoding="utf-8")
        renewed.chmod(0o600)
        identity.own(renewed)
        renewed.rename(cluster / name)


def include(cluster: Path) -> None:
    """Make a new cluster's postgresql.conf read ours."""
    with (cluster / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write("\ninclude_if_exists = 'zhike.conf'\n")
        file.flush()
        os.fsync(file.fileno())


def tuned(memory: int) -> dict[str, str]:
    """Return settings for a machine with `memory` bytes."""
    shared = min(max(memory // 4, 128 * _MB), 1024 * _MB)
    # Recovery after a crash reads at most this much: seconds, on a machine of that size. With less, there is a
    # checkpoint every few seconds under load, after which each page that is touched goes to the WAL as a whole.
    wal = min(max(memory // 4, 1024 * _MB), 4096 * _MB)
    return {
        "max_connections": "100",
        "shared_buffers": f"{shared // _MB}MB",
        "effective_cache_size": f"{max(memory // 2, 256 * _MB) // _MB}MB",
        "maintenance_work_mem": f"{max(shared // 8 // _MB, 64)}MB",
        "work_mem": "16MB",
        "max_wal_size": f"{wal // _MB}MB",
        "random_page_cost": "1.1",
        "jit": "off",
        "autovacuum_vacuum_insert_scale_factor": "0.05",  # the log only grows; keep its visibility map fresh
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",  # the keeper reads the log
    }


def memory() -> int:
    """Return the bytes of memory this process may use: the machine's, or less in a container."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for place in _CGROUP_LIMITS:
        try:
            sizes.append(int(Path(place).read_text()))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return min(sizes)
