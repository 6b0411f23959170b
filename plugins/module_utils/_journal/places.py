# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places: what a run is about, and what a claim is on. PRIVATE to this collection: may change at any time.

A place is a host (``cmp01``), or one object of a host: a VM (``cmp01/<uuid>``) or a unit (``cmp01/libvirtd``). Names of
hosts have no slash.
"""

from __future__ import annotations

HOST, INSTANCE, PROCESS, NETWORK = "host", "instance", "process", "network"
#: What a run is about; each run has one kind.
KINDS = (HOST, INSTANCE, PROCESS, NETWORK)

SEPARATOR = "/"


def place(host: str, object: str = "") -> str:
    """The place of a host, or of one object of it."""
    return f"{host}{SEPARATOR}{object}" if object else host


def host_of(place: str) -> str:
    """The host of a place."""
    return place.partition(SEPARATOR)[0]


def object_of(place: str) -> str:
    """The object of a place; empty if that is the host itself."""
    return place.partition(SEPARATOR)[2]


def claim_of(kind: str, place: str) -> str:
    """The place that a run of this kind claims: who acts on the host itself claims the host."""
    return place if kind in (HOST, INSTANCE) else host_of(place)
