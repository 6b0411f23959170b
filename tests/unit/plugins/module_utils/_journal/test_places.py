# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import places


@pytest.mark.parametrize(("host", "object_", "place"), [("cmp01", "", "cmp01"), ("cmp01", "a/b", "cmp01/a/b")])
def test_a_place_is_a_host_or_an_object_of_one(host: str, object_: str, place: str) -> None:
    assert places.place(host, object_) == place
    assert (places.host_of(place), places.object_of(place)) == (host, object_)


@pytest.mark.parametrize(
    ("kind", "place", "claim"),
    [
        ("host", "cmp01", "cmp01"),
        ("instance", "cmp01/vm", "cmp01/vm"),
        ("process", "cmp01/libvirtd", "cmp01"),
        ("network", "cmp01", "cmp01"),
    ],
)
def test_who_acts_on_the_host_itself_claims_the_host(kind: str, place: str, claim: str) -> None:
    assert places.claim_of(kind, place) == claim
