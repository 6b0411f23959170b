# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of the responder: serve, check-config, token. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import argparse
import sys
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import credentials


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Run one command; the exit code of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["token"]:
        return credentials.command(given[1:])
    parser = argparse.ArgumentParser(prog="responder", description="Decides about failures, and has them recovered.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (("serve", "run it"), ("check-config", "say what is wrong with the configuration")):
        commands.add_parser(name, help=about).add_argument("--config", required=True, help="responder.yml")
    commands.add_parser("token", help="write the tokens of principals; see token --help")
    options = parser.parse_args(given)
    # Here, because tokens are also made where nothing of this is installed.
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import service

    return service.run(options.config) if options.command == "serve" else _check(service.check, options.config)


def _check(check: t.Callable[[str], list[str]], path: str) -> int:
    try:
        warnings = check(path)
    except RecoveryError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write("".join(f"warning: {warning}\n" for warning in warnings) + f"{path} is in order\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
