# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that lives in the server process, put together; and what a client may do to it."""

from __future__ import annotations

import shutil
import threading
import typing as t
from pathlib import Path

from bed import config, databases, patches
from bed.bmc import PROTOCOLS
from bed.config import ADDRESS, Options, Ports
from bed.driver import TruthDriver
from bed.fakes import PROJECT, StandIn
from bed.front import Fault, Front
from bed.hosts import Host
from bed.identity import Identity
from bed.image import Image
from bed.network import Network
from bed.nova_services import Nova
from bed.probe import Probe
from bed.stage import Stage
from bed.truth import Truth
from bed.volume import Volume
from bed.web import json_app, serve

BASELINE = "baseline"


class World(Stage):
    """The bed. Public methods that begin with ``do_`` are what a client may call."""

    def __init__(self, options: Options, ports: Ports) -> None:
        self.truth = TruthDriver.truth = Truth(options.directory)
        super().__init__(options.directory, ports, self.truth)
        self.options = options
        self.front = Front()
        self.nova = Nova(options)
        self.stand_ins = self._stand_ins()
        self._snapshots: dict[str, tuple[t.Any, t.Any]] = {}
        self._lock = threading.RLock()

    def _stand_ins(self) -> dict[str, StandIn]:
        others = f"http://{ADDRESS}:{self.ports.others}"
        volume = f"{others}/volume/v3/{PROJECT}"
        catalog = [
            ("identity", "keystone", f"{others}/identity"),
            ("compute", "nova", f"http://{ADDRESS}:{self.ports.compute}/v2.1"),
            ("placement", "placement", f"http://{ADDRESS}:{self.ports.placement}"),
            ("image", "glance", f"{others}/image"),
            ("network", "neutron", f"{others}/network"),
            ("block-storage", "cinder", volume),
            ("volumev3", "cinderv3", volume),
        ]
        return {
            "identity": Identity(others, catalog, self.front),
            "image": Image(others),
            "network": Network(others),
            "volume": Volume(others),
        }

    def build(self) -> None:
        """Start everything; in the main thread."""
        apps = {name: one.app() for name, one in self.stand_ins.items()}
        serve(self.front.wrap_by_prefix(apps), self.ports.others)
        self.nova.configure()
        serve(self.front.wrap("placement", self.nova.prepare_databases()), self.ports.placement)
        serve(self.front.wrap("compute", self.nova.start_control_plane()), self.ports.compute)
        self.build_hosts(self.options.hosts, self._make_host)
        serve(json_app(self.control), self.ports.control)
        self.start_sims()
        self.start_all_hosts()
        self.nova.discover_hosts()
        self.do_snapshot(BASELINE)
        self.front.clear()

    def _make_host(self, spec: config.Host, probe_port: int) -> Host:
        return Host(spec, self.nova, self.truth, Probe(probe_port), self.options.shared_storage)

    def do_knobs(self, host: str | None, knobs: dict[str, t.Any]) -> None:
        for one in [self.hosts[host]] if host else self.hosts.values():
            one.set_knobs(knobs)

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

    def do_crash_guest(self, host: str, uuid: str, notice: bool = False) -> None:
        TruthDriver.at_work[host].crash_guest(uuid, notice)

    def do_attach_share(self, uuid: str) -> None:
        self.nova.attach_share(uuid)

    def do_server_states(self, reservation: str) -> list[tuple[str, str, str | None]]:
        return databases.server_states(self.options.directory, reservation)

    def do_purge_queue(self, host: str) -> None:
        patches.forget_messages(host)

    def do_haste(self, on: bool) -> None:
        patches.Haste.on = on

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
            self.start_all_hosts()
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
