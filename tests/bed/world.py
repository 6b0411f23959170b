# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that lives in the server process, put together; and what a client may do to it."""

from __future__ import annotations

import concurrent.futures
import json
import queue
import shutil
import threading
import typing as t
from pathlib import Path

from bed import config, databases, patches, tls
from bed.bmc import PROTOCOLS, USER, Bmc, IpmiSim, Refused
from bed.config import LOOPBACK, Options, Ports
from bed.driver import TruthDriver
from bed.fakes import PROJECT, StandIn
from bed.front import Fault, Front
from bed.hosts import Host, Probe
from bed.identity import Identity
from bed.image import Image
from bed.network import Network
from bed.nova_services import Nova
from bed.redfish import Service
from bed.truth import Truth
from bed.volume import Volume
from bed.web import Answer, Request, json_app, serve

BASELINE = "baseline"


class World:
    """The bed. Public methods that begin with ``do_`` are what a client may call."""

    def __init__(self, options: Options, ports: Ports) -> None:
        self.options, self.ports = options, ports
        self.front = Front()
        self.truth = TruthDriver.truth = Truth(options.directory)
        self.nova = Nova(options)
        self.hosts: dict[str, Host] = {}
        self.bmcs: dict[str, Bmc] = {}
        self.sims: dict[str, IpmiSim] = {}
        self.stand_ins = self._stand_ins()
        self._snapshots: dict[str, tuple[t.Any, t.Any]] = {}
        self._lock = threading.RLock()
        # ipmi_sim processes must be children of the main thread: see IpmiSim
        self.main_thread_jobs: queue.Queue[concurrent.futures.Future[None]] = queue.Queue()

    def _stand_ins(self) -> dict[str, StandIn]:
        others = f"http://{LOOPBACK}:{self.ports.others}"
        volume = f"{others}/volume/v3/{PROJECT}"
        catalog = [
            ("identity", "keystone", f"{others}/identity"),
            ("compute", "nova", f"http://{LOOPBACK}:{self.ports.compute}/v2.1"),
            ("placement", "placement", f"http://{LOOPBACK}:{self.ports.placement}"),
            ("image", "glance", f"{others}/image"),
            ("network", "neutron", f"{others}/network"),
            ("block-storage", "cinder", volume),
            ("volumev3", "cinderv3", volume),
        ]
        return {
            "identity": Identity(others, catalog, self.front), "image": Image(others), "network": Network(others),
            "volume": Volume(others),
        }

    def build(self) -> None:
        """Start everything; in the main thread."""
        apps = {name: one.app() for name, one in self.stand_ins.items()}
        serve(self.front.wrap_by_prefix(apps), self.ports.others)
        self.nova.configure()
        serve(self.front.wrap("placement", self.nova.prepare_databases()), self.ports.placement)
        serve(self.front.wrap("compute", self.nova.start_control_plane()), self.ports.compute)
        self._build_hosts()
        serve(json_app(self._control), self.ports.control)
        for sim in self.sims.values():
            sim.start()
        self._start_all_hosts()
        self.nova.discover_hosts()
        self._write_hosts_json()
        self.do_snapshot(BASELINE)
        self.front.clear()

    def _build_hosts(self) -> None:
        context = tls.server_context(self.options.directory / "tls")
        for index, spec in enumerate(self.options.hosts):
            ports = self.ports.host(index)
            host = Host(spec, self.nova, self.truth, Probe(ports["probe"]), self.options.shared_storage)
            host.on_power = self._publish_power
            bmc = Bmc(host, self.hosts)
            self.hosts[spec.name], self.bmcs[spec.name] = host, bmc
            self.sims[spec.name] = IpmiSim(self.options.directory, bmc, ports["ipmi"], self.ports.control)
            Service(ports["redfish"], [bmc], context)
        Service(self.ports.redfish, list(self.bmcs.values()), context)

    def _start_all_hosts(self) -> None:
        with concurrent.futures.ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(Host.start, self.hosts.values()))

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
        self.main_thread_jobs.put(done)
        return done.result(30)

    def run_main_thread_job(self, wait: float) -> None:
        """Do one job that others have for the main thread, if there is one within this time."""
        try:
            job = self.main_thread_jobs.get(timeout=wait)
        except queue.Empty:
            return
        try:
            job.set_result(job.function())  # type: ignore[attr-defined]
        except Exception as error:  # the one who waits for it gets it
            job.set_exception(error)

    def _write_hosts_json(self) -> None:
        facts = {}
        for index, (name, host) in enumerate(self.hosts.items()):
            ports, secret = self.ports.host(index), self.options.directory / "secrets" / name
            secret.parent.mkdir(exist_ok=True)
            secret.write_text(host.spec.bmc_password)
            secret.chmod(0o600)
            facts[name] = {
                "name": name, "hypervisor": host.spec.hypervisor, "uuid": host.spec.uuid, "serial": host.spec.serial,
                "user": USER, "password": host.spec.bmc_password, "password_file": str(secret),
                "ipmi": {"address": LOOPBACK, "port": ports["ipmi"], "cipher_suite": 3},
                "redfish": {
                    "address": f"https://{LOOPBACK}:{ports['redfish']}", "system": f"/redfish/v1/Systems/{host.spec.uuid}",
                    "ca": str(self.options.directory / "tls" / "ca.pem"),
                    "shared_address": f"https://{LOOPBACK}:{self.ports.redfish}",
                },
                "probe": f"tcp://{LOOPBACK}:{ports['probe']}",
            }
        (self.options.directory / "hosts.json").write_text(json.dumps(facts, indent=1))

    def _control(self, request: Request) -> Answer:
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
        """One of the things that can happen to a host: see :class:`bed.hosts.Host`."""
        getattr(self.hosts[host], what)(**kwargs)

    def do_knobs(self, host: str | None, knobs: dict[str, t.Any]) -> None:
        for one in [self.hosts[host]] if host else self.hosts.values():
            one.set_knobs(knobs)

    def do_bmc_fault(self, host: str, fault: str, protocols: list[str] | None = None) -> None:
        self.bmcs[host].set_fault(fault, protocols or PROTOCOLS)
        self._in_main_thread(self.sims[host].follow)

    def do_api_fault(self, **fault: t.Any) -> int:
        return self.front.add_fault(Fault(**fault))

    def do_clear_api_faults(self) -> None:
        self.front.drop_faults()

    def do_api_fault_hits(self) -> dict[int, int]:
        return self.front.fault_hits()

    def do_expire_tokens(self) -> int:
        return self.front.expire_tokens()

    def do_api_calls(self) -> dict[str, t.Any]:
        return self.front.counts()

    def do_api_log(self) -> list[dict[str, t.Any]]:
        return self.front.log()

    def do_reset_api_calls(self) -> None:
        self.front.reset_counts()

    def do_jump_clock(self, seconds: float) -> float:
        patches.Clock.offset += seconds
        return patches.Clock.offset

    def do_edit_server(self, uuid: str, fields: dict[str, t.Any]) -> None:
        self.nova.edit_instance(uuid, fields)

    def do_attach_share(self, uuid: str) -> None:
        self.nova.attach_share(uuid)

    def do_server_states(self, reservation: str) -> list[tuple[str, str, str | None]]:
        return databases.server_states(self.options.directory, reservation)

    def do_haste(self, on: bool) -> None:
        patches.Haste.on = on

    def do_status(self) -> dict[str, t.Any]:
        return {
            name: {
                "power": "on" if host.powered else "off", "condition": host.condition,
                "faults": {protocol: ":".join(filter(None, self.bmcs[name].fault(protocol))) for protocol in PROTOCOLS},
                "guests": {uuid: state for uuid, (_name, state) in self.truth.guests(name).items()},
            }
            for name, host in self.hosts.items()
        }

    def do_snapshot(self, name: str) -> None:
        with self._lock:
            databases.save(self.options.directory, self._folder(name))
            state = {key: one.snapshot() for key, one in self.stand_ins.items()}
            self._snapshots[name] = (self.truth.snapshot(), state)

    def do_restore(self, name: str = BASELINE) -> None:
        """Everything as it was at the snapshot; all hosts up and healthy, no faults, no counts, a new history."""
        with self._lock:
            guests, state = self._snapshots[name]
            self._heal()
            self.nova.drop_work()
            for host in self.hosts.values():
                host.hang(probe=True)
            patches.forget_messages()
            databases.put_back(self.options.directory, self._folder(name))
            self.truth.restore(guests)
            for key, one in self.stand_ins.items():
                one.restore(state[key])
            self.nova.forget()
            self._start_all_hosts()
            self.front.clear()

    def _heal(self) -> None:
        self.front.clear()
        patches.Clock.offset, patches.Haste.on = 0.0, False
        for host in self.hosts.values():
            host.heartbeat(False)
            host.reset_knobs()
        for name, bmc in self.bmcs.items():
            if any(bmc.fault(protocol)[0] for protocol in PROTOCOLS):
                self.do_bmc_fault(name, "")

    def _folder(self, name: str) -> Path:
        return self.options.directory / "snapshots" / name


def write_files(options: Options, ports: Ports) -> None:
    """The configuration files, and ``clouds.yaml`` for clients."""
    shutil.rmtree(options.directory / "truth", ignore_errors=True)
    (options.directory / "nova.conf").write_text(config.nova_conf(options, ports))
    (options.directory / "placement.conf").write_text(config.placement_conf(options))
    (options.directory / "clouds.yaml").write_text(config.clouds_yaml(ports))
