# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook on this machine with ansible-runner: the only file that imports it. PRIVATE: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import (
    Canceled,
    Ended,
    Json,
    Order,
    Progress,
)


class LocalLauncher:
    """Starts ``ansible-playbook`` here.

    :param directory: Where artifacts are kept. :param inventory: The segments file.
    :param environment: What the playbooks need besides what is passed on of this process; no secrets.
    """

    kind = "local"

    def __init__(self, directory: str, inventory: str, environment: Json) -> None:
        self._directory, self._inventory, self._environment = directory, inventory, environment

    def run(self, order: Order, progress: Progress, canceled: Canceled) -> Ended:
        """See :class:`launch.Launcher`."""
        raise NotImplementedError
