# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bed by hand: ``python -m bed up --dir DIR``, ``status``, ``down``, and what can happen to a host."""

from __future__ import annotations

import argparse
import json
import typing as t

from bed.client import Bed

_CONDITIONS = ("crash", "hang", "kill_compute", "power_off", "start_host")


def main(arguments: t.Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    if given.command == "up":
        options = {name: getattr(given, name) for name in ("port", "max_microversion") if getattr(given, name)}
        bed = Bed.start(given.dir, given.computes, python=given.python, detached=True, **options)
        print(f"The cloud is up. OS_CLIENT_CONFIG_FILE={bed.clouds_yaml} OS_CLOUD=lab; BMCs: {given.dir}/hosts.json")
        return
    bed = Bed.attach(given.dir)
    if given.command == "down":
        bed.stop()
    elif given.command == "status":
        print(json.dumps(bed.status(), indent=1))
    elif given.command == "fault":
        bed.bmc_fault(given.host, given.fault, given.protocol)
    elif given.command == "fill":
        print("\n".join(bed.fill(given.host, given.count)))
    else:
        getattr(bed, given.command)(given.host)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bed", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = _command(commands, "up", "start a bed")
    up.add_argument("--computes", type=int, default=6)
    up.add_argument("--port", type=int, help="first port of the block; default: a free one")
    up.add_argument("--python", help="interpreter with Nova and Placement; default $BED_PYTHON or build/nova")
    up.add_argument("--max-microversion", help="pretend to be an older cloud")
    _command(commands, "down", "stop it")
    _command(commands, "status", "what is really the case")
    fill = _command(commands, "fill", "make servers on a host")
    fill.add_argument("host")
    fill.add_argument("count", type=int)
    fault = _command(commands, "fault", "let a BMC misbehave; an empty fault heals it")
    fault.add_argument("host")
    fault.add_argument("fault")
    fault.add_argument("--protocol", choices=("ipmi", "redfish"))
    for name in _CONDITIONS:
        _command(commands, name, "let this happen to a host").add_argument("host")
    return parser


def _command(commands: t.Any, name: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text)
    command.add_argument("--dir", default="build/bed", help="the bed's directory")
    return command


if __name__ == "__main__":
    main()
