from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.etcd_gateway import (
    Gateway,
    GatewayError,
    range_end,
)


def test_the_end_of_a_prefix_is_the_first_key_after_it() -> None:
    assert range_end("hosts/") == b"hosts0"
    assert range_end("a") == b"b"


def test_a_member_that_is_not_there_is_told() -> None:
    with pytest.raises(GatewayError, match=r"http://127\.0\.0\.1:1: "):
        Gateway("http://127.0.0.1:1", 5).keys("hosts/")
    with pytest.raises(GatewayError, match="watch"):
        list(Gateway("http://127.0.0.1:1", 5).changes("hosts/", 1))
