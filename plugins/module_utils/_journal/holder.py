# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds a claim, and whether that process still lives. PRIVATE: may change at any time."""

from __future__ import annotations

import datetime
import getpass
import os
import socket
import typing as t

Holder = t.Dict[str, t.Any]

_PROC = "/proc"


def describe(pid: int | None = None, **more: t.Any) -> Holder:
    """Describe a process of this machine, this one by default.

    :param more: What else people should read, such as the playbook.
    """
    pid = os.getpid() if pid is None else pid
    stat = _stat(pid)
    return {
        "user": os.environ.get("SUDO_USER") or _user(),
        "hostname": socket.gethostname(),
        "boot_id": boot_id(),
        "pid_namespace": _pid_namespace(),
        "pid": pid,
        "pid_start": stat[1] if stat else None,
        "started_at": _started_at(stat[1]) if stat else None,
        **more,
    }


def is_alive(holder: Holder) -> bool | None:
    """Whether the holder's process lives: None when that cannot be told from here.

    Told only on the same boot and in the same PID namespace: containers share the boot id of their
    machine, and a process number of one means nothing in another.
    """
    here = (boot_id(), _pid_namespace())
    if None in here or here != (holder.get("boot_id"), holder.get("pid_namespace")):
        return None
    if holder.get("pid") is None or holder.get("pid_start") is None:
        return None
    stat = _stat(int(holder["pid"]))
    if stat is None:
        return None if _exists(int(holder["pid"])) else False
    return stat[0] not in "ZX" and stat[1] == holder["pid_start"]


def words(holder: Holder | None) -> str:
    """The holder in words."""
    it = holder or {}
    playbook = f" ({it['playbook']})" if it.get("playbook") else ""
    return f"{it.get('user')}@{it.get('hostname')}, process {it.get('pid')}{playbook}"


def boot_id() -> str | None:
    """Which boot of which machine this is; None where the kernel does not tell."""
    return _read(f"{_PROC}/sys/kernel/random/boot_id")


def _stat(pid: int) -> tuple[str, int] | None:
    """State of a process and when it started, in clock ticks since boot; None if that cannot be read."""
    text = _read(f"{_PROC}/{pid}/stat")
    # The command name may hold spaces and parentheses: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    fields = text.rpartition(")")[2].split() if text else []
    return (fields[0], int(fields[19])) if fields else None


def _exists(pid: int) -> bool:
    """Whether there is such a process, even one that /proc hides from us (mount option hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started_at(ticks: int) -> str | None:
    boot = [line.split()[1] for line in (_read(f"{_PROC}/stat") or "").splitlines() if line.startswith("btime ")]
    if not boot:
        return None
    seconds = int(boot[0]) + ticks / os.sysconf("SC_CLK_TCK")
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _pid_namespace() -> str | None:
    try:
        return os.readlink(f"{_PROC}/self/ns/pid")
    except OSError:
        return None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return str(os.getuid())
