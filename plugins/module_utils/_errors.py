# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exceptions of this collection. PRIVATE to it: may change at any time.

Shared code raises these and never talks to Ansible; the one place that turns them into a failed
task is :mod:`_task`.
"""

from __future__ import annotations

import typing as t


class RecoveryError(Exception):
    """Something could not be done.

    :param message: What was tried, on which host, what came back, and what to do about it.
    :param facts: The raw material behind the sentence; returned beside ``msg`` by the task.
    """

    def __init__(self, message: str, **facts: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class ConfigError(RecoveryError):
    """A configuration or an option is wrong; the message starts with the path of the wrong key."""


class CloudError(RecoveryError):
    """An OpenStack API refused, failed, or could not be reached."""


class LeaseLost(RecoveryError):
    """This run no longer holds the claim on a host; it must not change anything any more."""


class CertificateError(RecoveryError):
    """There is no valid power certificate for a host, so nothing of it may be started elsewhere."""


class Paused(RecoveryError):
    """An operator has ordered that nothing more is begun for a host of this run."""
