"""Who reaches whom."""

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE, Links


def links() -> Links:
    found = Links(["admin", "storage"])
    for machine in ("cmp01", "cmp02", "ctl1"):
        found.attach(machine, ["admin"])
    return found


def test_only_machines_on_a_network_reach_each_other_there() -> None:
    assert links().reach("cmp01", CORE, "admin")
    assert not links().reach("cmp01", CORE, "storage")
    assert not links().reach("cmp01", CORE, "tenant")
    assert links().of("ctl1") == ["admin"]


def test_machines_that_are_cut_off_one_by_one_do_not_reach_each_other() -> None:
    found = links()
    found.split(["cmp01", "cmp02"], ["admin"])
    assert not found.reach("cmp01", "cmp02", "admin")
    assert not found.reach("cmp01", CORE, "admin")
    assert found.reach("ctl1", CORE, "admin")


def test_machines_that_are_cut_off_together_are_an_island() -> None:
    found = links()
    found.split(["cmp01", "ctl1"], ["admin"], together=True)
    assert found.reach("cmp01", "ctl1", "admin")
    assert not found.reach("cmp02", "ctl1", "admin")
    found.heal(["cmp01", "ctl1"], ["admin"])
    assert found.reach("cmp02", "ctl1", "admin")
