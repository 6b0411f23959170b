# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs as ``ansible-playbook`` for a responder. PRIVATE to this collection: may change at any time.

Hands its arguments, environment and standard files to the warm server and ends as its child there does. Where there is
no server, or it is not sure, the next ``ansible-playbook`` on PATH is run in place of this. Standard library only:
it starts in 25 ms as ``python -IS``.

It is killed when the responder is. An ansible-playbook whose output nobody takes any more does not end, but waits for
its workers for ever, and its claims would be held as long. The warm server ends what its launcher leaves behind.

The server answers before anything begins: ``y`` it can, ``n`` it cannot. Only then ``g`` has it begin, so that a
launcher that has given up waiting and a server that was slow never both run the playbook.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys

_LOST = 250  # exit code when the server has vanished while the playbook ran
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Be killed when the thread that has started this ends, also after an exec.

    :param parent: The process of that thread.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(_LOST)  # it has ended already


def warm(directory: str, patience: float, arguments: list[str]) -> int | None:
    """Have the server run it; None: it does not.

    :param directory: Where the server has its socket; empty: there is none.
    :param patience: Seconds to wait for its answer.
    """
    if not directory:
        return None
    job = {"argv": ["ansible-playbook", *arguments], "env": dict(os.environ), "cwd": os.getcwd()}
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(patience)
        try:
            server.connect(os.path.join(directory, "server"))
            socket.send_fds(server, [b"j"], [0, 1, 2])
            server.sendall(json.dumps(job).encode() + b"\n")
            if server.recv(1) != b"y":
                return None
            server.sendall(b"g")
        except OSError:
            return None
        server.settimeout(None)
        try:
            return int(server.recv(16) or _LOST)
        except OSError:
            return _LOST


def cold(mine: str, arguments: list[str]) -> None:
    """Become the next ``ansible-playbook`` on PATH.

    :param mine: The one that runs this.
    """
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(place for place in places if place != os.path.dirname(mine))
    os.execvp("ansible-playbook", ["ansible-playbook", *arguments])  # noqa: S606, S607  # as it was called


if __name__ == "__main__":
    end_with(int(os.environ["OPENSTACK_HA_RESPONDER"]))
    code = warm(os.environ["OPENSTACK_HA_WARM"], float(os.environ["OPENSTACK_HA_WARM_PATIENCE"]), sys.argv[2:])
    if code is None:
        try:
            cold(sys.argv[1], sys.argv[2:])
        except OSError as problem:
            sys.stderr.write(f"ansible-playbook: {problem.strerror}\n")
            code = 127
    raise SystemExit(code)
