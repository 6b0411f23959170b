# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The intake of a responder as a process of its own, over TLS, before a real journal; and a client of it.

``python intake_process.py`` reads its settings as JSON from the environment variable INTAKE.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import journal_servers

Json = t.Dict[str, t.Any]

START_SECONDS = 60.0


@dataclasses.dataclass
class Intake:
    """A running intake; ``certificate`` is what its clients show, if anything."""

    process: subprocess.Popen[bytes]
    port: int
    tls: Path
    certificate: Path | None = None

    def client(self) -> http.client.HTTPSConnection:
        """A connection that is kept."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.context())

    def context(self) -> ssl.SSLContext:
        """What trusts the intake."""
        context = ssl.create_default_context(cafile=str(self.tls / "ca.pem"))
        if self.certificate:
            context.load_cert_chain(self.certificate)
        return context

    def raw(self) -> ssl.SSLSocket:
        """A TLS connection to write anything into."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        return self.context().wrap_socket(plain, server_hostname="127.0.0.1")

    def post(
        self, client: http.client.HTTPSConnection, body: t.Any, headers: Json, path: str = "/v1/signals"
    ) -> tuple[int, Json]:
        """Send signals, one or a list, or a notification; return status and answer."""
        kind = "application/json" if "notification" in body else "application/cloudevents+json"
        kind = "application/cloudevents-batch+json" if isinstance(body, list) else kind
        client.request("POST", path, json.dumps(body), {"Content-Type": kind, **headers})
        answer = client.getresponse()
        return answer.status, json.loads(answer.read())

    def healthy(self) -> bool:
        """Whether it answers."""
        client = self.client()
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == 200
        except OSError:
            return False
        finally:
            client.close()


@contextlib.contextmanager
def running(directory: Path, journal_url: str, tls: Path, **settings: t.Any) -> t.Iterator[Intake]:
    """An intake that ends with the context. ``settings``: those of :func:`main`."""
    (port,) = journal_servers.free_ports(1)
    told = {"journal_url": journal_url, "port": port, "pem": str(tls / "server.pem"), **settings}
    log = directory / f"intake-{port}.log"
    environment = {**os.environ, "INTAKE": json.dumps(told), "PYTHONPATH": os.environ["ANSIBLE_COLLECTIONS_PATH"]}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, __file__], stdout=output, stderr=output, env=environment)
    intake = Intake(process, port, tls, tls / "server.pem" if "client_ca" in settings else None)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not intake.healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        yield intake
    finally:
        process.kill()
        process.wait()


def main(
    journal_url: str,
    port: int,
    pem: str,
    client_ca: str | None = None,
    limits: Json | None = None,
    queue: int = 20000,
    head_seconds: float | None = None,
    hosts: t.Sequence[str] = (),
) -> None:
    """Serve until the end.

    :param hosts: More hosts that there are.
    """
    from prometheus_client import CollectorRegistry

    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import serve
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.app import Limits, create_app
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.writer import Writer
    from ansible_collections.openstack_ha.recovery.tests.unit.fakes import intake as fakes

    serve.HEAD_SECONDS = head_seconds or serve.HEAD_SECONDS
    with open_journal(journal_url) as journal:
        writer = Writer(lambda rows: journal.accept_signals(fakes.SCOPE, "ctl1", rows), queue=queue)
        writer.start()
        given = Limits(**{"rate": 1e6, "burst": 1e6, **(limits or {})})
        more = {host: fakes.TOPOLOGY["hosts"]["cmp01"] | {"hypervisor_hostname": host} for host in hosts}
        topology = {**fakes.TOPOLOGY, "hosts": {**fakes.TOPOLOGY["hosts"], **more}}
        handed: Json = {"limits": given, "topology": lambda: topology}
        deps = fakes.deps(journal, writer.accept, CollectorRegistry(), **handed)
        server = serve.server(create_app(deps), serve.context(pem, pem, client_ca))
        asyncio.run(server.serve(serve.listen([f"127.0.0.1:{port}"])))
        writer.close()


if __name__ == "__main__":
    main(**json.loads(os.environ["INTAKE"]))
