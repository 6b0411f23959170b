from __future__ import annotations

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import OperatorNeeded
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.operator import Operator


@pytest.mark.parametrize("question", ["identity", "power_state", "power_off"])
def test_a_level_never_confirms_anything_by_itself(question: str) -> None:
    with pytest.raises(OperatorNeeded, match="a person's confirmation"):
        getattr(Operator({}, fake_world()), question)(1)
