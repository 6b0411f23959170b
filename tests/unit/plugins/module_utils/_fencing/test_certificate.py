from __future__ import annotations

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import NOW

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.certificate import by_devices, by_operator
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Outcome


@pytest.mark.parametrize(
    ("methods", "kind"), [(["redfish"], "redfish"), (["fence_agent", "ipmi"], "mixed"), (["ipmi"], "ipmi")]
)
def test_the_kind_is_the_method_or_mixed(methods: list[str], kind: str) -> None:
    outcome = Outcome(off=True, level=2, methods=methods, identity="matched", after="off", evidence=[{"level": 2}])
    assert by_devices("cmp03", outcome, NOW) == {
        "host": "cmp03",
        "kind": kind,
        "level": 2,
        "identity": "matched",
        "observed_state": "off",
        "observed_at": NOW,
        "evidence": [{"level": 2}],
        "confirmed_by": None,
        "confirmed_reason": None,
    }


def test_a_person_is_named_and_nothing_is_said_to_be_observed_that_was_not() -> None:
    certificate = by_operator("cmp03", Outcome(after="unknown"), NOW, "Ada", "plugs pulled")
    assert certificate["kind"] == "operator"
    assert certificate["level"] is None
    assert certificate["observed_state"] == "unknown"
    assert (certificate["confirmed_by"], certificate["confirmed_reason"]) == ("Ada", "plugs pulled")
