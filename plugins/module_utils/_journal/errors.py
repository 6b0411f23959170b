# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong with the journal. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError


class JournalError(RecoveryError):
    """The journal could not be opened, read or written."""


class ClaimHeld(RecoveryError):
    """Another run may act on a host, or may still be acting on it."""


class JournalGone(JournalError):
    """The file of the journal is not the one that was opened: what is written there, nobody will read."""


class JournalMissing(JournalError):
    """There is no journal yet, so nothing was ever written there."""
