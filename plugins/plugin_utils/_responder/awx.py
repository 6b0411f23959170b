# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook as a job of AWX or Automation Controller, by plain REST. PRIVATE: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import (
    Canceled,
    Ended,
    Json,
    Order,
    Progress,
)


class AwxLauncher:
    """Launches a job template and follows its job.

    :param config: ``url``, ``token_file``, ``job_template`` (id) and ``verify``.
    """

    kind = "awx"
    outlives = True

    def __init__(self, config: Json) -> None:
        self._config = config

    def run(self, order: Order, progress: Progress, canceled: Canceled) -> Ended:
        """See :class:`launch.Launcher`."""
        raise NotImplementedError
