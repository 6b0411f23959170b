# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No device: a person says that the host is off. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Person


class Operator(Person):
    """A level with this method stops and asks; it never confirms anything by itself.

    The confirmation is given with the options ``confirmed_by`` and ``confirmed_reason`` of one task, so it
    cannot be left in an inventory where it would be true for every failure to come.
    """

    NAME = "operator"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {}

    def describe(self) -> str:
        """There is no device."""
        return "a person"
