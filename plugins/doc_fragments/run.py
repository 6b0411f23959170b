# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of tasks that take part in a recovery run."""

from __future__ import annotations


class ModuleDocFragment:
    """The run that a task belongs to."""

    DOCUMENTATION = r"""
options:
  run_id:
    description:
      - The run that this task belongs to, as M(openstack_ha.recovery.recovery_run) returned it.
      - The task then works only while the run holds its claim on the host, and journals what it does.
    type: str
"""
