# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module says about check mode, diff mode and running twice."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes. A module adds fragments about its action groups, about diff mode and about running twice."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    description: Can run in C(check_mode) and tell what would change, without changing anything.
"""

    CLOUD_GROUP = r"""
attributes:
  action_group:
    support: full
    description: Use C(group/openstack_ha.recovery.NAME) in C(module_defaults) to set defaults for all of a group.
    membership:
      - openstack_ha.recovery.cloud
"""

    JOURNAL_GROUP = r"""
attributes:
  action_group:
    support: full
    description: Use C(group/openstack_ha.recovery.NAME) in C(module_defaults) to set defaults for all of a group.
    membership:
      - openstack_ha.recovery.journal
"""

    BOTH_GROUPS = r"""
attributes:
  action_group:
    support: full
    description: Use C(group/openstack_ha.recovery.NAME) in C(module_defaults) to set defaults for all of a group.
    membership:
      - openstack_ha.recovery.cloud
      - openstack_ha.recovery.journal
"""

    DIFF = r"""
attributes:
  diff_mode:
    support: full
    description: Returns what has changed, or in check mode what would change, as a difference.
"""

    NO_DIFF = r"""
attributes:
  diff_mode:
    support: none
    description: Returns what has changed, or in check mode what would change, as a difference.
"""

    IDEMPOTENT = r"""
attributes:
  idempotent:
    support: full
    description: Running it again with the same options changes nothing more and reports C(changed=false).
"""

    READS_ONLY = r"""
attributes:
  diff_mode:
    support: N/A
    description: Returns what has changed, or in check mode what would change, as a difference.
    details:
      - This module only reads.
  idempotent:
    support: N/A
    description: Running it again with the same options changes nothing more and reports C(changed=false).
    details:
      - This module only reads.
"""
