# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Monitors on the hosts of a lab, deployed by the role; responders on its controllers, in their own networks."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import typing as t
from pathlib import Path

from bed import tls
from driver import until
from tree import collections_path

from hosts.client import HostsBed
from hosts.controller import Controller
from hosts.net import CLOUD, NETWORKS

Json = t.Dict[str, t.Any]
INTAKE, HEARTBEATS = 7411, 7412
KINDS = ("host", "network")
_RESPONDER = "ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder"
_TAIL = 3000


class Deployment:
    """All responders and monitors of a lab.

    :param segments: For :meth:`hosts.client.HostsBed.segments_file`.
    :ivar began: When the test began, as the journal writes times.
    """

    def __init__(self, bed: HostsBed, folder: Path, segments: t.Mapping[str, t.Any]) -> None:
        self.bed, self.lab, self.folder = bed, bed.lab, folder
        folder.mkdir(mode=0o700)
        self.key_file = folder / "keys"
        self.key_file.write_text(os.urandom(32).hex() + "\n")
        self.certificate = tls.server_pem(folder, [*map(Controller.address, self.lab.controllers), *self._outer()])
        self.authority = folder / "ca.pem"
        self.segments = bed.segments_file(folder / "lab.failover_segments.yml", segments)
        self.responders: dict[str, Responder] = {}
        self._journal_url = self.began = ""

    def journal(self) -> t.Any:
        """The open journal of the responders; close it with ``with``."""
        from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

        return open_journal(self._journal_url)

    def _outer(self) -> list[str]:
        return [one.address(CLOUD) for one in self.lab.controllers]

    def token(self, principal: str) -> str:
        """What the principal shows to a responder."""
        from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import credentials

        return credentials.token_of(bytes.fromhex(self.key_file.read_text().split()[0]), principal)

    def deploy_monitors(self) -> None:
        """Run the playbook ``deploy`` for the hosts, as an operator does, from the first controller."""
        command = [Path(sys.executable).with_name("ansible-playbook"), "openstack_ha.recovery.deploy"]
        command += ["-i", self._inventory(), "--limit", "ha_monitors", "-e", "ha_monitors_at_once=100%"]
        self.lab.controller.run(command, env=environment(self.bed), cwd=self.folder)

    def _inventory(self) -> Path:
        names = [one.name for one in self.lab.controllers]
        path = self.lab.inventory(self.folder / "deploy.yml", {"ha_monitors": list(self.lab.hosts)})
        inventory = json.loads(path.read_text())
        inventory["all"]["children"]["ha_responders"] = {"hosts": {name: self._of_responder(name) for name in names}}
        inventory["all"]["vars"] |= {
            "monitor_kinds": list(KINDS),
            "monitor_key_file": str(self.key_file),
            "monitor_ca_file": str(self.authority),
            "monitor_manage_packages": False,
        }
        for name, host in self.lab.hosts.items():
            networks = {one: {"source": host.address(one), "interface": one} for one in NETWORKS}
            inventory["all"]["hosts"][name]["monitor_networks"] = networks
        path.write_text(json.dumps(inventory, indent=1))
        return path

    def _of_responder(self, name: str) -> Json:
        one = self.controller(name)
        return {"responder_listen": [f"{one.address()}:{INTAKE}"], "responder_heartbeat": heartbeats(one)}

    def controller(self, name: str) -> Controller:
        return next(one for one in self.lab.controllers if one.name == name)

    def start(self, journal_url: str, policy: Json, count: int = 3, **settings: t.Any) -> None:
        """Start so many responders, and wait until they decide.

        :param settings: More of responder.yml.
        """
        self._journal_url = journal_url
        (self.folder / "ha_policy.yml").write_text(json.dumps(policy))
        names = [one.name for one in self.lab.controllers[:count]]
        for name in names:
            common = {"name": name, "responders": names, "journal_url": journal_url, **settings}
            self.responders[name] = Responder(self, self.controller(name), common)
        for responder in self.responders.values():
            responder.start()
        for responder in self.responders.values():
            until(responder.is_healthy, 120)

    def stop(self) -> None:
        """Let all responders end in their own way, and see to it."""
        for responder in self.responders.values():
            responder.ask_to_stop()
        try:
            assert {responder.wait() for responder in self.responders.values()} <= {0}
        finally:
            for responder in self.responders.values():
                responder.kill()
            self.responders = {}


class Responder:
    """One responder, as a process in the networks of its controller."""

    def __init__(self, site: Deployment, controller: Controller, settings: Json) -> None:
        self.name, self.controller, self._site = controller.name, controller, site
        self._folder = site.folder / controller.name
        self._folder.mkdir(exist_ok=True)
        self.log = site.lab.logs / f"responder-{controller.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        listen = [f"{address}:{INTAKE}" for address in (controller.address(), controller.address(CLOUD))]
        self._write(
            {
                "segments_file": str(site.segments),
                "policy_file": str(site.folder / "ha_policy.yml"),
                "key_file": str(site.key_file),
                "intake": {"listen": listen, "certificate": str(site.certificate), "key": str(site.certificate)},
                "heartbeat": {"networks": heartbeats(controller)},
                "runs": {"directory": str(self._folder / "runs")},
                "metrics_public": True,
                **settings,
            }
        )

    def _write(self, settings: Json) -> None:
        # JSON is YAML
        (self._folder / "responder.yml").write_text(json.dumps(settings, indent=1))

    def start(self) -> None:
        """Start it; returns at once."""
        command = [sys.executable, "-m", _RESPONDER, "serve", "--config", self._folder / "responder.yml"]
        with self.log.open("ab") as log:
            self._process = self.controller.popen(
                command, env=environment(self._site.bed), cwd=self._folder, stdout=log, stderr=log
            )

    def ask_to_stop(self) -> None:
        if self._process:
            self._process.terminate()

    def wait(self, patience: float = 60) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        return self._process.wait(patience)

    def kill(self) -> None:
        """``kill -9``."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def connection(self) -> http.client.HTTPSConnection:
        """A connection that is kept."""
        context = ssl.create_default_context(cafile=self._site.authority)
        return http.client.HTTPSConnection(self.controller.address(CLOUD), INTAKE, timeout=10, context=context)

    def is_healthy(self) -> bool:
        """Whether it decides; raises with the end of its log when it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-_TAIL:]
        try:
            with contextlib.closing(self.connection()) as connection:
                connection.request("GET", "/healthz")
                return connection.getresponse().status == 200
        except OSError:
            return False


def heartbeats(controller: Controller) -> dict[str, str]:
    """Where a responder listens to heartbeats."""
    return {network: f"{controller.address(network)}:{HEARTBEATS}" for network in NETWORKS}


def environment(bed: HostsBed) -> dict[str, str]:
    """What programs on controllers get to see."""
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_NOCOLOR": "1",
        "OS_CLIENT_CONFIG_FILE": str(bed.clouds_yaml),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(collections_path()),
    }
