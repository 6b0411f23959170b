from __future__ import annotations

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import NOW

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.certificate import (
    by_level,
    by_operator,
    proves,
    refuses,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Outcome


@pytest.mark.parametrize(
    ("methods", "kind"), [(["redfish"], "redfish"), (["fence_agent", "ipmi"], "mixed"), (["ipmi"], "ipmi")]
)
def test_the_kind_is_the_method_or_mixed(methods: list[str], kind: str) -> None:
    outcome = Outcome(
        off=True, level=2, proof="off", methods=methods, identity="matched", after="off", evidence=[{"level": 2}]
    )
    assert by_level("cmp03", outcome, NOW) == {
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


@pytest.mark.parametrize(
    ("kind", "state"),
    [("ipmi", "off"), ("redfish", "off"), ("fence_agent", "off"), ("mixed", "off"), ("kdump", "crash kernel"),
     ("watchdog", "watchdog expired")],
)  # fmt: skip
def test_each_kind_proves_with_its_own_word_and_no_other(kind: str, state: str) -> None:
    assert proves({"kind": kind, "observed_state": state})
    for other in {"off", "on", "unknown", "crash kernel", "watchdog expired", "silent", "", None} - {state}:
        assert not proves({"kind": kind, "observed_state": other})


@pytest.mark.parametrize("kind", ["", None, "bmc", "probe", "operator"])
def test_a_kind_that_is_not_known_proves_nothing_whatever_it_says(kind: str | None) -> None:
    assert not any(proves({"kind": kind, "observed_state": it}) for it in ("off", "crash kernel", "", None))


def test_only_the_kernel_that_writes_a_dump_may_refuse_connections() -> None:
    assert refuses({"kind": "kdump"})
    assert not any(refuses({"kind": kind}) for kind in ("ipmi", "watchdog", "operator", "mixed"))
