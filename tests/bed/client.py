# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client side of the bed: starts it, drives it, asks it, stops it. Standard library only.

::

    with Bed.start(directory, computes=6) as bed:
        vms = bed.fill("cmp01", 10)
        bed.crash("cmp01")
        ...
        assert bed.ever_ran_twice() == []
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import typing as t
from pathlib import Path

from bed import history
from bed.cloud import Cloud
from bed.config import Host, Options
from bed.rest import BedError, call
from bed.segments import segments

TESTS = Path(__file__).resolve().parents[1]
BUILD = TESTS.parent / "build"


def default_python() -> str:
    """The interpreter that has Nova and Placement: ``$BED_PYTHON``, or the one that ``make`` builds."""
    return os.environ.get("BED_PYTHON") or str(BUILD / "nova" / "bin" / "python")


class Bed(Cloud):
    """A running bed."""

    SERVER: t.ClassVar[str] = "bed.server"
    START_SECONDS: t.ClassVar[float] = 120
    TEMPLATE: t.ClassVar[Path] = BUILD / "bed-template"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports: dict[str, t.Any] = json.loads((directory / "state.json").read_text())
        self.hosts: dict[str, t.Any] = json.loads((directory / "hosts.json").read_text())
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(self.ports)

    @classmethod
    def start(
        cls,
        directory: str | Path,
        computes: int = 6,
        *,
        hosts: t.Sequence[str | dict[str, t.Any]] | None = None,
        python: str | None = None,
        template: str | Path | None = None,
        detached: bool = False,
        **options: t.Any,
    ) -> Bed:
        """Start a bed and wait until it is ready.

        :param directory: Is emptied; holds everything the bed writes.
        :param hosts: Names, or the fields of :class:`bed.config.Host`; default ``cmp01`` … by ``computes``.
        :param python: See :func:`default_python`.
        :param template: Where migrated databases are kept; default ``build/bed-template``.
        :param detached: Outlive this process (``python -m bed up``).
        :param options: The other fields of :class:`bed.config.Options`.
        """
        directory = Path(directory).resolve()
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        wanted = hosts or [f"cmp{number:02d}" for number in range(1, computes + 1)]
        specs = [Host(one) if isinstance(one, str) else Host(**one) for one in wanted]
        kept = Path(template or cls.TEMPLATE).resolve()
        Options(directory=directory, template=kept, hosts=specs, **options).write(directory / "options.json")
        process = _launch(cls.SERVER, directory, python or default_python(), detached)
        try:
            _await_ready(directory, process, cls.START_SECONDS)
            bed = cls(directory)
        except BaseException:
            process.kill()
            process.wait()
            raise
        bed._process = process
        if not detached:
            atexit.register(bed._stop_at_exit, os.getpid())
        return bed

    @classmethod
    def attach(cls, directory: str | Path) -> Bed:
        """The bed that somebody else started there."""
        return cls(Path(directory).resolve())

    def __enter__(self) -> Bed:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and with it everything it started. May be called twice."""
        atexit.unregister(self._stop_at_exit)
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None:
                _end(self._process)
            elif _is_server(self.ports["pid"], self.directory):
                os.kill(self.ports["pid"], signal.SIGTERM)
        (self.directory / "state.json").unlink(missing_ok=True)

    def _stop_at_exit(self, owner: int) -> None:
        # a fork of the process that started the bed ends without ending the bed
        if os.getpid() == owner:
            self.stop()

    @property
    def clouds_yaml(self) -> Path:
        """For ``OS_CLIENT_CONFIG_FILE``; the cloud is called ``lab``."""
        return self.directory / "clouds.yaml"

    def control(self, operation: str, **arguments: t.Any) -> t.Any:
        """Call ``do_<operation>`` of :class:`bed.world.World`."""
        url = f"http://{self.ports['address']}:{self.ports['control']}/call/{operation}"
        answer, _headers = call("POST", url, arguments)
        return answer["result"]

    def power_off(self, host: str) -> None:
        """Pull the plug."""
        self.control("host", host=host, what="power_off")

    def start_host(self, host: str) -> None:
        """Power on if need be; returns when nova-compute runs."""
        self.control("host", host=host, what="start")

    def crash(self, host: str) -> None:
        """The whole host dies: no heartbeat, no guests, no probe; its BMC says on."""
        self.control("host", host=host, what="crash")

    def kill_compute(self, host: str) -> None:
        """Only nova-compute dies; guests run on, the probe answers."""
        self.control("host", host=host, what="kill_compute")

    def hang(self, host: str, probe: bool = False) -> None:
        """The host falls silent, its guests run on."""
        self.control("host", host=host, what="hang", probe=probe)

    def heartbeat(self, host: str, on: bool = True) -> None:
        """Keep the heartbeat of nova-compute advancing, whatever became of the host."""
        self.control("host", host=host, what="heartbeat", on=on)

    def knobs(self, host: str | None = None, **knobs: t.Any) -> None:
        """``vcpus``, ``memory_mb``, ``local_gb``, ``shared_storage``, ``spawn_delay``, ``spawn_fails``; and
        ``spawn_lingers``: seconds that a guest runs already, and Nova has not heard of it. Of live migrations
        ``migrate_delay`` and ``migrate_fails`` from a host, and ``migrate_refused`` to it.
        """
        self.control("knobs", host=host, knobs=knobs)

    def bmc_fault(self, host: str, fault: str, protocol: str | None = None) -> None:
        """Set a fault of :mod:`bed.bmc` on one protocol or on both; ``""`` heals."""
        self.control("bmc_fault", host=host, fault=fault, protocols=[protocol] if protocol else None)

    def status(self) -> dict[str, t.Any]:
        """Power, condition, BMC faults and guests of every host, as they really are."""
        status: dict[str, t.Any] = self.control("status")
        return status

    def fail_api(self, **fault: t.Any) -> int:
        """Let API calls fail: the fields of :class:`bed.front.Fault`. Returns the fault's id."""
        return int(self.control("api_fault", **fault))

    def clear_api_faults(self) -> None:
        self.control("clear_api_faults")

    def api_fault_hits(self) -> dict[int, int]:
        """Fault id to the number of calls it has hit."""
        return {int(key): hits for key, hits in self.control("api_fault_hits").items()}

    def expire_tokens(self) -> int:
        """Every token a user holds is answered with 401 from now on; returns how many there were."""
        return int(self.control("expire_tokens"))

    def api_calls(self) -> dict[str, t.Any]:
        """Calls by users: ``total``, ``tokens``, ``by_service``, ``by_kind``, ``by_route``."""
        calls: dict[str, t.Any] = self.control("api_calls")
        return calls

    def api_log(self) -> list[dict[str, t.Any]]:
        """Every changing call by users: times, service, method, path, microversion, body, action, status."""
        lines: list[dict[str, t.Any]] = self.control("api_log")
        return lines

    def reset_api_calls(self) -> None:
        """Begin to count, and to log, anew."""
        self.control("reset_api_calls")

    def jump_clock(self, seconds: float) -> float:
        """Move the wall clock that Nova sees; returns how far it is off now."""
        return float(self.control("jump_clock", seconds=seconds))

    @contextlib.contextmanager
    def haste(self) -> t.Iterator[None]:
        """While a scene is set: see :func:`bed.patches.allow_haste`. :meth:`fill` does it by itself."""
        self.control("haste", on=True)
        try:
            yield
        finally:
            self.control("haste", on=False)

    def fill(self, host: str | None, count: int = 1, **options: t.Any) -> list[str]:
        """Make ACTIVE servers fast: see :meth:`bed.cloud.Cloud.fill`."""
        with self.haste():
            return super().fill(host, count, **options)

    def server_states(self, reservation: str) -> list[tuple[str, str, str | None]]:
        return [tuple(line) for line in self.control("server_states", reservation=reservation)]

    def edit_server(self, uuid: str, **fields: t.Any) -> None:
        """Set fields of Nova's record (``task_state``, ``vm_state``, …) that no API call can set."""
        self.control("edit_server", uuid=uuid, fields=fields)

    def purge_queue(self, host: str) -> None:
        """Forget the calls that wait for a host, as ``rabbitmqctl purge_queue compute.HOST`` does."""
        self.control("purge_queue", host=host)

    def crash_guest(self, host: str, uuid: str, notice: bool = False) -> None:
        """The process of a guest dies. :param notice: Nova takes note of it at once, otherwise not at all."""
        self.control("crash_guest", host=host, uuid=uuid, notice=notice)

    def attach_share(self, uuid: str) -> None:
        """Make it a server with a Manila share."""
        self.control("attach_share", uuid=uuid)

    def snapshot(self, name: str) -> None:
        """Remember servers, databases and guests under a name."""
        self.control("snapshot", name=name)

    def restore(self, name: str) -> None:
        """Back to a snapshot: hosts up and healthy, faults, counts and history cleared."""
        self.control("restore", name=name)

    def reset(self) -> None:
        """Back to the empty cloud of the start."""
        self.restore("baseline")

    def truth_events(self) -> list[dict[str, t.Any]]:
        """Everything that happened to guests since the start or the last reset."""
        return [json.loads(line) for line in (self.directory / "truth.log").read_text().splitlines()]

    def ever_ran_twice(self) -> list[tuple[str, str, str]]:
        """(uuid, host, other host) of every guest that ran on both at one time."""
        return history.ran_twice(self.truth_events())

    def running(self) -> dict[str, list[str]]:
        """Host to the guests that really run there now."""
        return history.running(self.truth_events())

    def segments_file(self, path: str | Path, segments_: t.Mapping[str, t.Any], **options: t.Any) -> Path:
        """Write an inventory source of ``failover_segments``: see :func:`bed.segments.segments`."""
        path = Path(path)
        # JSON is YAML, and needs no library here
        path.write_text(json.dumps(segments(self.hosts, segments_, **options), indent=1))
        return path


def _launch(server: str, directory: Path, python: str, detached: bool) -> subprocess.Popen[bytes]:
    command = [python, "-m", server, str(directory)]
    if not detached:
        command.append(str(os.getpid()))
    with (directory / "server.log").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )


def _await_ready(directory: Path, process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not (directory / "state.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = (directory / "server.log").read_text(errors="replace")[-2000:]
            raise BedError(0, f"the bed did not start within {seconds} s; {directory}/server.log ends:\n{tail}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_server(pid: int, directory: Path) -> bool:
    """Whether the process is the server of this directory, and not one that got its number later."""
    with contextlib.suppress(OSError):
        return str(directory) in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return False
