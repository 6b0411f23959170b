# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts with their BMCs, and the door through which a client calls what it may do to them.

It knows nothing of Nova, so that hosts can be threads of this process or processes of their own.
"""

from __future__ import annotations

import concurrent.futures
import json
import queue
import threading
import typing as t
from pathlib import Path

from bed import tls
from bed.bmc import PROTOCOLS, USER, Bmc, IpmiSim, Refused
from bed.config import ADDRESS, Host, Ports
from bed.redfish import Service
from bed.web import Answer, Request


class Guests(t.Protocol):
    """What the stage needs of the truth."""

    def guests(self, host: str) -> dict[str, tuple[str, int]]: ...


class Stage:
    """Public methods that begin with ``do_`` are what a client may call."""

    def __init__(self, directory: Path, ports: Ports, truth: Guests) -> None:
        self.directory, self.ports = directory, ports
        self.hosts: dict[str, t.Any] = {}
        self.bmcs: dict[str, Bmc] = {}
        self.sims: dict[str, IpmiSim] = {}
        self._guests = truth
        # ipmi_sim processes must be children of the main thread: see IpmiSim
        self._main_thread_jobs: queue.Queue[concurrent.futures.Future[None]] = queue.Queue()

    def build_hosts(self, specs: t.Iterable[Host], make: t.Callable[[Host, int], t.Any]) -> None:
        """Make every host, with ``make`` from its description and the port of its probe, and its BMC."""
        context = tls.server_context(self.directory / "tls")
        for index, spec in enumerate(specs):
            ports = self.ports.host(index)
            host = make(spec, ports["probe"])
            host.on_power = self._publish_power
            bmc = Bmc(host, self.hosts)
            self.hosts[spec.name], self.bmcs[spec.name] = host, bmc
            self.sims[spec.name] = IpmiSim(self.directory, bmc, ports["ipmi"], self.ports.control)
            Service(ports["redfish"], [bmc], context)
        Service(self.ports.redfish, list(self.bmcs.values()), context)
        self._write_hosts_json()

    def start_sims(self) -> None:
        """Let the BMCs answer over IPMI; in the main thread, once the control port is served."""
        for sim in self.sims.values():
            sim.start()

    def start_all_hosts(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(lambda host: host.start(), self.hosts.values()))

    def _publish_power(self) -> None:
        for sim in self.sims.values():
            sim.publish()

    def close(self) -> None:
        for sim in self.sims.values():
            sim.stop()

    def _in_main_thread(self, function: t.Callable[[], None]) -> None:
        if threading.current_thread() is threading.main_thread():
            return function()
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        done.function = function  # type: ignore[attr-defined]
        self._main_thread_jobs.put(done)
        return done.result(30)

    def run_main_thread_job(self, wait: float) -> None:
        """Do one job that others have for the main thread, if there is one within this time."""
        try:
            job = self._main_thread_jobs.get(timeout=wait)
        except queue.Empty:
            return
        try:
            job.set_result(job.function())  # type: ignore[attr-defined]
        except Exception as error:  # the one who waits for it gets it
            job.set_exception(error)

    def _write_hosts_json(self) -> None:
        facts = {}
        for index, (name, host) in enumerate(self.hosts.items()):
            ports, secret = self.ports.host(index), self.directory / "secrets" / name
            secret.parent.mkdir(exist_ok=True)
            secret.write_text(host.spec.bmc_password)
            secret.chmod(0o600)
            facts[name] = {
                "name": name,
                "hypervisor": host.spec.hypervisor,
                "uuid": host.spec.uuid,
                "serial": host.spec.serial,
                "user": USER,
                "password": host.spec.bmc_password,
                "password_file": str(secret),
                "ipmi": {"address": ADDRESS, "port": ports["ipmi"], "cipher_suite": 3},
                "redfish": {
                    "address": f"https://{ADDRESS}:{ports['redfish']}",
                    "system": f"/redfish/v1/Systems/{host.spec.uuid}",
                    "ca": str(self.directory / "tls" / "ca.pem"),
                    "shared_address": f"https://{ADDRESS}:{self.ports.redfish}",
                },
                "probe": f"tcp://{ADDRESS}:{ports['probe']}",
            }
        (self.directory / "hosts.json").write_text(json.dumps(facts, indent=1))

    def control(self, request: Request) -> Answer:
        """Requests of the BMCs' hooks and of :meth:`bed.client.Bed.control`."""
        parts = request.parts
        if parts[:1] == ["ipmi"]:
            try:
                self.bmcs[parts[1]].order("ipmi", parts[2])
            except Refused as refused:
                return Answer(409, {"error": str(refused)})
            return Answer(200, {})
        try:
            result = getattr(self, f"do_{parts[1]}")(**request.body)
        except Exception as error:  # goes to the client, who raises it
            return Answer(500, {"error": f"{type(error).__name__}: {error}"})
        return Answer(200, {"result": result})

    def do_host(self, host: str, what: str, **kwargs: t.Any) -> None:
        """One of the things that can happen to a host."""
        getattr(self.hosts[host], what)(**kwargs)

    def do_bmc_fault(self, host: str, fault: str, protocols: list[str] | None = None) -> None:
        self.bmcs[host].set_fault(fault, protocols or PROTOCOLS)
        self._in_main_thread(self.sims[host].follow)

    def do_status(self) -> dict[str, t.Any]:
        return {
            name: {
                "power": "on" if host.powered else "off",
                "condition": host.condition,
                "faults": {protocol: ":".join(filter(None, self.bmcs[name].fault(protocol))) for protocol in PROTOCOLS},
                "guests": {uuid: state for uuid, (_name, state) in self._guests.guests(name).items()},
            }
            for name, host in self.hosts.items()
        }
