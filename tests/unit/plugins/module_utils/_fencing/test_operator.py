from __future__ import annotations

from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Device, Wait
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.operator import Operator


def test_a_person_is_neither_asked_by_a_machine_nor_waited_for() -> None:
    operator = Operator({}, fake_world())
    assert not isinstance(operator, (Device, Wait))
    assert not operator.can_prove({})
