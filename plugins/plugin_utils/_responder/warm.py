# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A warm ``ansible-playbook``: everything imported once, one fork per run. PRIVATE: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json, Say


class Warm:
    """Keeps the server alive whose directory with an ``ansible-playbook`` goes first on PATH.

    :param environment: The environment of the runs.
    """

    def __init__(self, environment: Json, say: Say) -> None:
        self._environment, self._say = environment, say
