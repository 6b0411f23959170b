# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The baseboard management controllers: one behaviour, spoken over IPMI and over Redfish.

A fault is set per protocol:

=====================  =====================================================================
``stuck``              power-off is acknowledged and never happens
``refuse``             every power action is refused (IPMI error, HTTP 409)
``already_off``        power-off of a host that is off is refused, as many BMCs do
``delay:N``            power actions happen N seconds after they were acknowledged
``lie``                reports what was ordered; the host runs on
``silent``             answers nothing
``no_identity``        tells neither uuid nor serial number (IPMI: a GUID of zeros)
``wrong_identity``     tells a uuid and a serial number that no host has
``wrong_machine:HOST`` is wired to another host: its identity, its power
``http500``            Redfish only: answers 500 to everything
=====================  =====================================================================
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
import typing as t
import uuid
from pathlib import Path

from bed import config
from bed.config import ADDRESS, is_free

PROTOCOLS = ("ipmi", "redfish")
FAULTS = frozenset(
    {
        "",
        "stuck",
        "refuse",
        "already_off",
        "delay",
        "lie",
        "silent",
        "no_identity",
        "wrong_identity",
        "wrong_machine",
        "http500",
    }
)
USER = "admin"


class Host(t.Protocol):
    """What a BMC needs of the host that it is built into."""

    spec: config.Host
    name: str
    powered: bool
    on_power: t.Callable[[], None]

    def power_on(self) -> None: ...

    def power_off(self) -> None: ...


class Refused(Exception):
    """The BMC does not do what it was told."""


class Bmc:
    """What a BMC does, whatever it speaks."""

    def __init__(self, host: Host, all_hosts: t.Mapping[str, Host]) -> None:
        self.host = host
        self._all = all_hosts
        self._faults = dict.fromkeys(PROTOCOLS, "")
        self._claims: dict[str, bool] = {}
        self._timers: list[threading.Timer] = []

    def set_fault(self, fault: str, protocols: t.Iterable[str]) -> None:
        if fault.partition(":")[0] not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}; known: {sorted(FAULTS - {''})}")
        for protocol in protocols:
            self._faults[protocol] = fault
            self._claims.pop(protocol, None)
        if not any(self._faults.values()):
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()

    def fault(self, protocol: str) -> tuple[str, str]:
        name, _colon, argument = self._faults[protocol].partition(":")
        return name, argument

    def _target(self, protocol: str) -> Host:
        name, argument = self.fault(protocol)
        return self._all[argument] if name == "wrong_machine" else self.host

    def identity(self, protocol: str) -> tuple[str, str] | None:
        """System uuid and serial number, as far as this BMC tells them."""
        name, _argument = self.fault(protocol)
        if name == "no_identity":
            return None
        if name == "wrong_identity":
            return str(uuid.uuid5(uuid.NAMESPACE_DNS, "nobody-" + self.host.name)), "SN-OTHER"
        spec = self._target(protocol).spec
        return spec.uuid, spec.serial

    def reports_on(self, protocol: str) -> bool:
        return self._claims.get(protocol, self._target(protocol).powered)

    def order(self, protocol: str, action: str) -> None:
        """``off``, ``on`` or ``cycle``; returns when it is acknowledged."""
        name, argument = self.fault(protocol)
        target = self._target(protocol)
        if name == "refuse" or (name == "already_off" and action == "off" and not target.powered):
            raise Refused("refused by the BMC" if name == "refuse" else "the system is already off")
        if name == "stuck":
            return
        if name == "lie":
            self._claims[protocol] = action != "off"
            self.host.on_power()
        elif name == "delay":
            timer = threading.Timer(float(argument), _perform, (target, action))
            timer.daemon = True
            self._timers.append(timer)
            timer.start()
        else:
            _perform(target, action)


def _perform(host: Host, action: str) -> None:
    if action in ("off", "cycle"):
        host.power_off()
    if action in ("on", "cycle"):
        host.power_on()


# ipmi_sim runs this for every chassis command. Reading is a file, so that it is as fast under load as
# without; acting is one request to the bed. It must be quick: ipmitool repeats what takes a second.
_HOOK = """\
#!/bin/bash
# hook POWER_FILE CONTROL_ADDRESS CONTROL_PORT HOST get|set ...
file=$1 address=$2 port=$3 host=$4 verb=$5
shift 5
if [ "$verb" = get ]; then
    for what; do
        case $what in power) echo "power:$(<"$file")" ;; boot) echo boot:none ;; esac
    done
    exit 0
fi
case $1,$2 in
    power,1) action=on ;;
    power,0 | shutdown,*) action=off ;;
    reset,*) action=cycle ;;
    *) exit 0 ;;
esac
exec 3<>"/dev/tcp/$address/$port"
printf 'POST /ipmi/%s/%s HTTP/1.0\\r\\nContent-Length: 0\\r\\n\\r\\n' "$host" "$action" >&3
read -r _ status _ <&3
[ "$status" = 200 ] || { echo "refused"; exit 1; }
"""

_LAN = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    {guid}
  endlan
  chassis_control "{hook}"
  user 1 true "" "test" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""

_EMULATION = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


class IpmiSim:
    """One ``ipmi_sim`` of the openipmi package. Start it from the main thread only: it dies with it."""

    def __init__(self, directory: Path, bmc: Bmc, port: int, control_port: int) -> None:
        self._folder = directory / "bmc" / bmc.host.name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._bmc, self._port, self._control_port = bmc, port, control_port
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: tuple[str, str] | None = None

    def start(self) -> None:
        name = self._bmc.host.name
        hook = self._folder / "hook"
        hook.write_text(_HOOK)
        hook.chmod(0o755)
        self.publish()
        self._identity = self._bmc.identity("ipmi")
        (self._folder / "lan.conf").write_text(
            _LAN.format(
                name=name,
                address=ADDRESS,
                port=self._port,
                guid=_guid_line(self._identity),
                user=USER,
                password=self._bmc.host.spec.bmc_password,
                hook=f"{hook} {self._folder / 'power'} {ADDRESS} {self._control_port} {name}",
            )
        )
        (self._folder / "emu.conf").write_text(_EMULATION)
        (self._folder / "state").mkdir(exist_ok=True)
        with (self._folder / "out").open("wb") as out:
            self._process = subprocess.Popen(
                [
                    _tool("setpriv"),
                    "--pdeathsig",
                    "KILL",
                    _tool("ipmi_sim"),
                    "-n",
                    "-c",
                    self._folder / "lan.conf",
                    "-f",
                    self._folder / "emu.conf",
                    "-s",
                    self._folder / "state",
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._await_port()

    def _await_port(self) -> None:
        deadline = time.monotonic() + 10
        while is_free(self._port):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"ipmi_sim did not start: {(self._folder / 'out').read_text()[-500:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def follow(self) -> None:
        """Let the simulator be as the BMC's fault says; in the main thread."""
        self.publish()
        if self._bmc.identity("ipmi") != self._identity:
            self.stop()
            self.start()
        if self._process is not None:
            silent = self._bmc.fault("ipmi")[0] == "silent"
            os.kill(self._process.pid, signal.SIGSTOP if silent else signal.SIGCONT)

    def publish(self) -> None:
        """Write down the power state that the hook reports."""
        # The main thread and those that answer requests may write at the same time.
        new = self._folder / f"power.{threading.get_ident()}"
        new.write_text("1" if self._bmc.reports_on("ipmi") else "0")
        new.replace(self._folder / "power")


def _guid_line(identity: tuple[str, str] | None) -> str:
    # IPMI sends a GUID with its least significant byte first (IPMI 2.0, 20.8). Without one ipmi_sim lets
    # nobody log in; BMCs that were never given one say zeros.
    return f"guid {uuid.UUID(identity[0]).bytes[::-1].hex() if identity else '0' * 32}"


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise RuntimeError(f"{name} is not installed (Debian packages: openipmi, util-linux)")
    return path
