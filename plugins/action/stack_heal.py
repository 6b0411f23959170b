# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module stack_heal inside ansible-playbook where that is the same thing."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.modules import stack_heal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._in_process import InProcessAction


class ActionModule(InProcessAction):
    """See the module's documentation."""

    TASK = stack_heal.TASK
