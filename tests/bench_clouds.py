"""The clouds that bench.py measures on: each gives, again and again, a host with VMs that has just died.

The VMs are alike, so that it does not matter that they are others each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).with_name("real")))

import processes
from bed.client import Bed
from driver import until
from multi import packages
from multi.client import MultiBed

FAILED = "cmp01"
TARGETS = ["cmp02", "cmp03", "cmp04", "cmp05", "cmp06"]
_FAILED_BEFORE = "cmp07"


class OneProcess:
    """All of Nova in one process: quick to start and to restore, and everything waits for one core."""

    name = "one process"
    about = "all Nova services in one Python process, SQLite, messages in memory"

    def __init__(self, directory: Path) -> None:
        self._bed = Bed.start(directory, hosts=[FAILED, *TARGETS])
        self._vms: list[str] = []

    @contextlib.contextmanager
    def failed_host(self, vms: int) -> t.Iterator[tuple[Bed, list[str]]]:
        """The bed and the VMs that its failed host had."""
        if len(self._vms) != vms:
            self._bed.reset()
            self._vms = self._bed.fill(FAILED, vms)
            self._bed.snapshot("bench")
        self._bed.restore("bench")
        self._bed.crash(FAILED)
        self._bed.reset_api_calls()
        yield self._bed, self._vms

    def seen(self, bed: Bed) -> dict[str, t.Any]:
        """What the cloud has seen of its client; moments on the monotonic clock."""
        calls = bed.api_calls()
        evacuates = [call["monotonic"] for call in bed.api_log() if "evacuate" in str(call.get("body"))]
        return {
            "first_evacuate": min(evacuates),
            "tokens": calls["tokens"],
            "api_calls_total": calls["total"],
            "api_calls": calls["by_route"],
        }

    def close(self) -> None:
        self._bed.stop()


class ManyProcesses:
    """Services as a site runs them; a new cloud each time, because nothing can be restored here."""

    name = "many processes"
    about = "Keystone, RabbitMQ, MariaDB, a process per Nova service and per host; Nova's defaults for its scheduler"
    #: What Nova does unless told otherwise. Only the scheduler has one worker, as in the tests, not one per core:
    #: several share one connection to Placement when Nova runs with native threads, and take each other's answers.
    defaults: t.ClassVar[dict[str, str]] = {
        "filter_scheduler.track_instance_changes": "true",
        "filter_scheduler.host_subset_size": "1",
    }

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        reason = packages.install()
        if reason:
            raise SystemExit(f"{reason}: --clouds one leaves out what needs them")

    @contextlib.contextmanager
    def failed_host(self, vms: int) -> t.Iterator[tuple[Bed, list[str]]]:
        """The bed and the VMs that its failed host had."""
        started = MultiBed.start(
            self._directory,
            hosts=[FAILED, *TARGETS, _FAILED_BEFORE],
            report_interval=10,
            service_down_time=60,
            conf=self.defaults,
        )
        bed = t.cast(MultiBed, started)
        try:
            _warm_up(bed)
            filled = bed.fill(FAILED, vms)
            bed.crash(FAILED)
            yield bed, filled
        finally:
            bed.stop()
            bed.forget_data()

    def seen(self, bed: Bed) -> dict[str, t.Any]:
        """See above; its logs know no finer time than seconds."""
        return {"tokens": t.cast(MultiBed, bed).tokens_issued()}

    def close(self) -> None:
        """Nothing is left to close."""


def _warm_up(bed: Bed) -> None:
    """The first evacuation to a host takes seconds, in which its nova-compute loads code and logs in everywhere.

    In a fresh cloud a recovery would be the slower, the more hosts it makes use of.
    """
    servers = bed.fill(_FAILED_BEFORE, 2 * len(TARGETS))
    bed.crash(_FAILED_BEFORE)
    process = floor(bed, _FAILED_BEFORE, zip(servers, 2 * TARGETS), len(servers))
    out, _nothing = process.communicate(timeout=300)
    if process.returncode or set(bed.running()) != set(TARGETS):
        raise SystemExit(f"the warm-up failed, VMs run on {bed.running()}:\n{out}")
    for server in servers:
        bed.request("DELETE", f"/servers/{server}")
    until(lambda: not bed.servers() and not bed.running(), 60)


def cpu_seconds(bed: Bed) -> float:
    """What all processes of a cloud have used of the processors so far."""
    used = 0
    for pid in (bed.ports["pid"], *processes.children(bed.ports["pid"])):
        with contextlib.suppress(OSError):
            # behind the name, which may contain anything, the 12th and 13th field: proc(5)
            used += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return used / os.sysconf("SC_CLK_TCK")


def floor(bed: Bed, host: str, pairs: t.Iterable[tuple[str, str | None]], parallel: int) -> subprocess.Popen[str]:
    """Start floor.py, which forces the host down and evacuates its servers to these targets."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("floor.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(bed.clouds_yaml)},
        text=True,
        start_new_session=True,
    )
    order = t.cast(t.IO[str], process.stdin)
    json.dump({"host": host, "pairs": list(pairs), "parallel": parallel}, order)
    order.close()
    process.stdin = None
    return process


CloudToMeasure = t.Union[OneProcess, ManyProcesses]
CLOUDS: dict[str, t.Callable[[Path], CloudToMeasure]] = {"one": OneProcess, "many": ManyProcesses}
