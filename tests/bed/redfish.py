# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Redfish service in the shape of DSP0266: service root, systems, and the reset action, over TLS."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import threading
import time
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bed.bmc import USER, Bmc, Refused
from bed.config import ADDRESS

ROOT = "/redfish/v1"
RESETS = {
    "On": "on",
    "ForceOn": "on",
    "ForceOff": "off",
    "GracefulShutdown": "off",
    "ForceRestart": "cycle",
    "PowerCycle": "cycle",
}
_LONGEST_SILENCE = 120.0


class Service(ThreadingHTTPServer):
    """The Redfish service of one BMC, or of several behind one address."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, bmcs: list[Bmc], context: ssl.SSLContext) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.bmcs = {bmc.host.spec.uuid: bmc for bmc in bmcs}
        # the handshake belongs into the thread of the connection, not into the one that accepts
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, args=(5.0,), daemon=True, name=f"redfish-{port}").start()

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Clients that do not trust the certificate or go away are part of the tests."""


class _Failed(Exception):
    def __init__(self, status: int, key: str, message: str) -> None:
        super().__init__(message)
        self.status, self.key = status, key


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def log_message(self, *args: t.Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(self._show)

    def do_POST(self) -> None:
        self._answer(self._reset)

    def _answer(self, act: t.Callable[[list[str], bytes], tuple[int, t.Any]]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = [part for part in self.path.partition("?")[0].split("/") if part]
        try:
            self._be_faulty(parts)
            if parts[2:]:
                self._authenticate(parts)
            status, answer = act(parts, body)
        except _Failed as failure:
            info = {"MessageId": f"Base.1.8.{failure.key}", "Message": str(failure)}
            status = failure.status
            answer = {
                "error": {"code": f"Base.1.8.{failure.key}", "message": str(failure), "@Message.ExtendedInfo": [info]}
            }
        self._send(status, answer)

    def _send(self, status: int, answer: t.Any) -> None:
        data = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="Redfish"')
        self.send_header("OData-Version", "4.0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _be_faulty(self, parts: list[str]) -> None:
        concerned = self._concerned(parts)
        if any(bmc.fault("redfish")[0] == "http500" for bmc in concerned):
            raise _Failed(500, "InternalError", "The test bed was told to fail.")
        deadline = time.monotonic() + _LONGEST_SILENCE
        while any(bmc.fault("redfish")[0] == "silent" for bmc in concerned):
            if time.monotonic() > deadline:
                raise ConnectionAbortedError
            time.sleep(0.1)

    def _concerned(self, parts: list[str]) -> list[Bmc]:
        """The BMCs that this request is about: one system's, or the only one behind this address."""
        bmcs = self.server.bmcs
        if len(parts) > 3 and parts[3] in bmcs:
            return [bmcs[parts[3]]]
        return list(bmcs.values()) if len(bmcs) == 1 else []

    def _authenticate(self, parts: list[str]) -> None:
        kind, _space, given = (self.headers.get("Authorization") or "").partition(" ")
        try:
            user, _colon, password = base64.b64decode(given).decode().partition(":")
        except ValueError:
            user, password = "", ""
        accepted = [bmc.host.spec.bmc_password for bmc in self._concerned(parts) or self.server.bmcs.values()]
        if kind != "Basic" or user != USER or not any(hmac.compare_digest(password, one) for one in accepted):
            raise _Failed(401, "NoValidSession", "There is no valid session or credential.")

    def _show(self, parts: list[str], _body: bytes) -> tuple[int, t.Any]:
        if parts == ["redfish"]:
            return 200, {"v1": ROOT + "/"}
        if parts == ["redfish", "v1"]:
            return 200, _service_root()
        if parts == ["redfish", "v1", "Systems"]:
            return 200, _collection(list(self.server.bmcs))
        if len(parts) == 4 and parts[:3] == ["redfish", "v1", "Systems"] and parts[3] in self.server.bmcs:
            return 200, _system(parts[3], self.server.bmcs[parts[3]])
        raise _Failed(404, "ResourceMissingAtURI", f"The resource at the URI {self.path} was not found.")

    def _reset(self, parts: list[str], body: bytes) -> tuple[int, t.Any]:
        wanted = ["redfish", "v1", "Systems", parts[3] if len(parts) > 3 else "", "Actions", "ComputerSystem.Reset"]
        if parts != wanted or parts[3] not in self.server.bmcs:
            raise _Failed(404, "ResourceMissingAtURI", f"The resource at the URI {self.path} was not found.")
        try:
            kind = json.loads(body)["ResetType"]
        except (ValueError, KeyError, TypeError):
            raise _Failed(400, "ActionParameterMissing", "ResetType is required to be present.") from None
        if kind not in RESETS:
            raise _Failed(400, "ActionParameterNotSupported", f"{kind} is not an allowable value of ResetType.")
        try:
            self.server.bmcs[parts[3]].order("redfish", RESETS[kind])
        except Refused as refused:
            raise _Failed(409, "ResourceInStandby", str(refused)) from refused
        return 204, None


def _service_root() -> dict[str, t.Any]:
    return {
        "@odata.id": ROOT + "/",
        "@odata.type": "#ServiceRoot.v1_5_0.ServiceRoot",
        "Id": "RootService",
        "Name": "Root Service",
        "RedfishVersion": "1.8.0",
        "Systems": {"@odata.id": ROOT + "/Systems"},
    }


def _collection(systems: list[str]) -> dict[str, t.Any]:
    return {
        "@odata.id": ROOT + "/Systems",
        "@odata.type": "#ComputerSystemCollection.ComputerSystemCollection",
        "Name": "Computer System Collection",
        "Members@odata.count": len(systems),
        "Members": [{"@odata.id": f"{ROOT}/Systems/{system}"} for system in systems],
    }


def _system(key: str, bmc: Bmc) -> dict[str, t.Any]:
    path = f"{ROOT}/Systems/{key}"
    identity = bmc.identity("redfish")
    system: dict[str, t.Any] = {
        "@odata.id": path,
        "@odata.type": "#ComputerSystem.v1_10_0.ComputerSystem",
        "Id": key,
        "Name": bmc.host.name,
        "HostName": bmc.host.name,
        "SystemType": "Physical",
        "PowerState": "On" if bmc.reports_on("redfish") else "Off",
        "Status": {"State": "Enabled", "Health": "OK"},
        "Actions": {
            "#ComputerSystem.Reset": {
                "target": f"{path}/Actions/ComputerSystem.Reset",
                "ResetType@Redfish.AllowableValues": list(RESETS),
            }
        },
    }
    if identity:
        system.update(UUID=identity[0], SerialNumber=identity[1])
    return system
