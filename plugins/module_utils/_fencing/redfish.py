# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fencing by Redfish over HTTPS. PRIVATE to this collection: may change at any time.

Plain HTTP, and not the library sushy: it costs 0.6 s to import and waits 27 s for a port that refuses.
Two requests in the good case: one that tells identity and power state, and the reset.
https://www.dmtf.org/dsp/DSP0266
"""

from __future__ import annotations

import re
import typing as t
import urllib.parse
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    ON,
    UNKNOWN,
    Device,
    FencingError,
    FencingRefused,
    HttpAnswer,
    Identity,
)

_SYSTEMS = "/redfish/v1/Systems"
#: A system that is going off is still on, and one that is coming up is not off.
_STATES = {"On": ON, "PoweringOn": ON, "PoweringOff": ON, "Paused": ON, "Off": OFF}


class Redfish(Device):
    """A system of a Redfish service."""

    NAME = "redfish"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {
        "address": {"type": "str", "required": True},
        "username": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "system": {"type": "str"},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "use_proxy": {"type": "bool", "default": False},
    }
    _uri: str | None = None
    _unused: dict[str, t.Any] | None = None
    _reset_uri: str | None = None

    @classmethod
    def check(cls, options: t.Mapping[str, t.Any]) -> None:
        """The address is a host, or a URL without credentials and path."""
        parts = urllib.parse.urlsplit(_url(str(options.get("address", "https://bmc"))))
        if parts.scheme not in ("http", "https") or "@" in parts.netloc or not parts.netloc or parts.path.strip("/"):
            raise ConfigError("address: must be a host name or address, or https://host:port, and nothing more.")

    def describe(self) -> str:
        """The URL of the service; an address without a scheme means HTTPS."""
        return _url(self.options["address"])

    def identity(self, timeout: float) -> Identity:
        """UUID and serial number of the system."""
        system = self._unused = self._system(timeout)
        found = {"serial": str(system.get("SerialNumber") or "").strip()}
        if re.fullmatch(r"[0-9a-fA-F-]{32,36}", str(system.get("UUID"))):
            found["uuid"] = str(uuid.UUID(system["UUID"]))
        return {key: value for key, value in found.items() if value}

    def power_state(self, timeout: float) -> str:
        """What the system reports. The answer that told the identity is used once, instead of asking twice."""
        system, self._unused = self._unused or self._system(timeout), None
        return _STATES.get(str(system.get("PowerState")), UNKNOWN)

    def power_off(self, timeout: float) -> str:
        """Reset of type ForceOff, without a look at AllowableValues: some services list them by power state."""
        uri = self._reset_uri or f"{self._system_uri(timeout)}/Actions/ComputerSystem.Reset"
        answer = self._request("POST", uri, timeout, {"ResetType": "ForceOff"})
        return self._describe_answer(answer)

    def _system(self, timeout: float) -> dict[str, t.Any]:
        system = self._get(self._system_uri(timeout), timeout)
        action = (system.get("Actions") or {}).get("#ComputerSystem.Reset") or {}
        self._reset_uri = _own_path(action.get("target"))
        return system

    def _system_uri(self, timeout: float) -> str:
        if self._uri is None:
            named = self.options["system"]
            if not named:
                named = self._only_system(timeout)
            self._uri = (named if named.startswith("/") else f"{_SYSTEMS}/{urllib.parse.quote(named)}").rstrip("/")
        return self._uri

    def _only_system(self, timeout: float) -> str:
        members = self._get(_SYSTEMS, timeout).get("Members") or []
        found = [str(member.get("@odata.id")) for member in members]
        if len(found) != 1:
            raise FencingRefused(
                f"the service has {len(found)} systems ({', '.join(found[:5])}); name the one of this host "
                "with the option system"
            )
        return _own_path(found[0]) or found[0]

    def _get(self, uri: str, timeout: float) -> dict[str, t.Any]:
        answer = self._request("GET", uri, timeout)
        if answer.status in (401, 403, 404):
            raise FencingRefused(f"GET {uri}: {self._describe_answer(answer)}")
        if answer.status != 200 or answer.json is None:
            raise FencingError(f"GET {uri}: {self._describe_answer(answer)}")
        return answer.json

    def _request(self, method: str, uri: str, timeout: float, body: dict[str, t.Any] | None = None) -> HttpAnswer:
        options = self.options
        return self.world.http(
            method,
            self.address + uri,
            body=body,
            timeout=timeout,
            url_username=options["username"],
            url_password=options["password"],
            force_basic_auth=True,
            validate_certs=options["validate_certs"],
            ca_path=options["ca_path"],
            use_proxy=options["use_proxy"],
        )

    def _describe_answer(self, answer: HttpAnswer) -> str:
        message = next(_messages(answer.json or {}), answer.text)
        return self.clean(f"HTTP {answer.status} {message}")


def _url(address: str) -> str:
    return (address if "://" in address else f"https://{address}").rstrip("/")


def _messages(body: dict[str, t.Any]) -> t.Iterator[str]:
    """What an error body says: in the extended information, or else in the error itself."""
    error = body.get("error")
    if isinstance(error, dict):
        details = error.get("@Message.ExtendedInfo")
        for item in [*(details if isinstance(details, list) else []), error]:
            if isinstance(item, dict) and (item.get("Message") or item.get("message")):
                yield str(item.get("Message") or item["message"])


def _own_path(uri: t.Any) -> str | None:
    """A path on this service; credentials never go to another host that a resource may point at."""
    path = urllib.parse.urlsplit(uri).path if isinstance(uri, str) else ""
    return path if path.startswith("/") else None
