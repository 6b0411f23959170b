from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.watchdog import Watchdog
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options_watchdog import OPTIONS
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.safe_time import TERMS, computed, patience

DEFAULTS = {name: default for name, (default, _least) in TERMS.items()}


def test_the_safe_time_is_longer_than_the_patience_and_the_device() -> None:
    assert patience(DEFAULTS) == 60.0  # (15 + 5) x 3
    assert computed(DEFAULTS) == 180.0  # 60 + 30 + 60 + 30


@pytest.mark.parametrize("name", TERMS)
def test_every_term_makes_it_longer(name: str) -> None:
    assert computed({**DEFAULTS, name: DEFAULTS[name] + 1}) > computed(DEFAULTS)


def test_monitor_and_fencing_level_have_the_same_options_and_defaults() -> None:
    assert {name: OPTIONS[name].default for name in TERMS} == DEFAULTS
    assert {name: Watchdog.OPTIONS[name]["default"] for name in TERMS} == DEFAULTS
