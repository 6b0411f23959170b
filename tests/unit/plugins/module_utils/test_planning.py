from __future__ import annotations

import typing as t

import pytest
from unit.fakes.runs import DEAD, ROOM, Site

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planning import make_plan
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud, topology
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Fate

ON_ITS_WAY = Fate(takes=60.0)


def lines(site: Site, *failed: str) -> dict[str, dict[str, t.Any]]:
    found = make_plan(t.cast(t.Any, site.cloud), site.topology, failed or [DEAD], site.ledger.lines())
    return {line["id"]: line for line in found["lines"]}


def group(policy: str, *members: str, **more: t.Any) -> dict[str, t.Any]:
    return {"policy": policy, "members": list(members), "rules": more}


def test_a_vm_is_described_for_the_executor() -> None:
    site = Site()
    site.vm("a", "paused")
    line = lines(site)["a"]
    assert {name: line[name] for name in ("name", "project", "host", "segment", "former", "reset", "target")} == {
        "name": "vm-a",
        "project": "p1",
        "host": DEAD,
        "segment": "rack1",
        "former": "stopped",
        "reset": True,
        "target": "cmp02",
    }
    assert line["need"] == {"VCPU": 1, "MEMORY_MB": 1024}


def test_a_silent_host_is_no_target_although_nova_takes_it_for_up() -> None:
    site = Site(targets=2)
    site.vm("a")
    found = make_plan(t.cast(t.Any, site.cloud), site.topology, [DEAD], silent=["cmp02"])
    assert [(line["target"], line["alternates"]) for line in found["lines"]] == [("cmp03", [])]


def test_the_room_that_is_left_is_what_placement_has_less_the_plan() -> None:
    site = Site(targets=1)
    site.nova.add("there", "cmp02")
    site.vm("a")
    assert site.plan()["room"] == {"cmp02": {"VCPU": ROOM["VCPU"] - 2, "MEMORY_MB": ROOM["MEMORY_MB"] - 2048}}


def test_what_placement_does_not_know_is_counted_by_its_flavor() -> None:
    site = Site()
    server = site.vm("a")
    server["flavor"].update(vcpus=3, ram=2048, disk=20, ephemeral=5)
    site.cloud._get_resource_providers = lambda rest, params, body: (  # type: ignore[method-assign]
        {"allocations": {}}
        if rest[1] == "allocations"
        else FakeCloud._get_resource_providers(site.cloud, rest, params, body)
    )
    assert lines(site)["a"]["need"] == {"VCPU": 3, "MEMORY_MB": 2048, "DISK_GB": 25}
    server["image"] = ""
    assert lines(site)["a"]["need"]["DISK_GB"] == 5


def test_unprotected_vms_stay_and_the_reason_names_who_said_so() -> None:
    site = Site()
    site.vm("a", metadata={"HA_Enabled": "false"})
    line = lines(site)["a"]
    assert line["step"] == "skip"
    assert "VM metadata HA_Enabled=false" in line["reason"]


def test_an_evacuation_under_way_is_followed_even_of_an_unprotected_vm() -> None:
    site = Site()
    site.vm("a", "active", ON_ITS_WAY, metadata={"HA_Enabled": "false"})
    site.nova.evacuate("a", "cmp03", False)
    line = lines(site)["a"]
    assert (line["step"], line["target"], line["floor"]) == ("follow", "cmp03", 0)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "down"},
        {"forced_down": True},
        {"status": "disabled", "disabled_reason": "being repaired"},
    ],
)
def test_a_host_that_nova_would_not_use_is_no_target(change: dict[str, t.Any]) -> None:
    site = Site()
    site.vm("a")
    site.nova.services["cmp02"].update(change)
    line = lines(site)["a"]
    assert line["target"] == "cmp03"
    assert "cmp02" not in line["alternates"]


def test_a_host_without_a_nova_compute_or_of_another_segment_is_no_target() -> None:
    site = Site(targets=3)
    site.vm("a")
    del site.nova.services["cmp02"]
    site.topology["hosts"]["cmp03"]["segment"] = "rack2"
    line = lines(site)["a"]
    assert (line["target"], line["alternates"]) == ("cmp04", [])


@pytest.mark.parametrize(("method", "target", "used"), [("auto", "cmp02", []), ("rh_priority", "cmp03", ["cmp03"])])
def test_reserved_hosts_are_used_while_disabled_and_named(method: str, target: str, used: list[str]) -> None:
    site = Site(segment={"recovery_method": method})
    site.topology["hosts"]["cmp03"]["role"] = "reserved"
    site.nova.services["cmp03"].update(status="disabled", disabled_reason="spare")
    site.vm("a")
    plan = site.plan()
    assert (plan["lines"][0]["target"], plan["reserved_hosts"]) == (target, used)


def test_a_reserved_host_in_maintenance_is_not_used() -> None:
    site = Site(segment={"recovery_method": "reserved_host"})
    site.topology["hosts"]["cmp03"]["role"] = "reserved"
    site.nova.services["cmp03"].update(status="disabled", disabled_reason="Maintenance: new disks")
    site.vm("a")
    assert lines(site)["a"]["step"] == "pending"


def test_several_failed_hosts_share_one_order_and_one_account_of_room() -> None:
    site = Site(targets=2, room={"VCPU": 2, "MEMORY_MB": 2048})
    site.vm("a", metadata={"openstack_ha:priority": "1"})
    site.vm("b", metadata={"openstack_ha:priority": "9"})
    site.nova.add("c", "cmp02", metadata={"openstack_ha:priority": "5"})
    found = lines(site, DEAD, "cmp02")
    assert [(line["id"], line["target"]) for line in found.values()] == [("b", "cmp03"), ("c", "cmp03"), ("a", None)]


@pytest.mark.parametrize("host", ["unknown", "loose"])
def test_a_host_outside_all_segments_cannot_be_planned_for(host: str) -> None:
    site = Site()
    site.topology["hosts"]["loose"] = {"segment": None}
    with pytest.raises(ConfigError, match="no failover segment"):
        lines(site, host)


# -- what the policy says -----------------------------------------------------------------------------------------


def by_policy(site: Site, overdue: t.Collection[str] = (), **ha: t.Any) -> dict[str, dict[str, t.Any]]:
    policy = _policy_file.parse({"ha": ha}, ["rack1"], []).values
    cloud = t.cast(t.Any, site.cloud)
    found = make_plan(cloud, site.topology, [DEAD], site.ledger.lines(), policy=policy, overdue=overdue)
    return {line["id"]: line for line in found["lines"]}


def test_a_line_has_what_every_level_says() -> None:
    site = Site()
    site.cloud.aggregates = [{"id": 1, "name": "ssd", "hosts": [DEAD], "metadata": {"openstack_ha:priority": "700"}}]
    site.cloud.images = {"image": {"id": "image", "name": "db", "openstack_ha_group": "databases"}}
    site.vm("a", metadata={"openstack_ha:after": "cache"}, tags=["openstack_ha:ready=tcp:5432"])
    line = by_policy(site, zones={"nova": {"deadline": 60, "otherwise": "rebuild"}})["a"]
    assert {key: line[key] for key in ("priority", "group", "after", "ready", "deadline", "otherwise", "method")} == {
        "priority": 700,
        "group": "databases",
        "after": ["cache"],
        "ready": {"is": "tcp", "port": 5432},
        "deadline": 60.0,
        "otherwise": "rebuild",
        "method": "evacuate",
    }


@pytest.mark.parametrize(
    ("said", "step", "reason"),
    [
        ({"method": "evacuate"}, "evacuate", ""),
        ({"method": "rebuild"}, "evacuate", ""),
        ({"method": "restart"}, "pending", "comes back with its host: ha.zones.nova method=restart"),
        ({"method": "notify"}, "skip", "is left to its owner: ha.zones.nova method=notify"),
        ({"method": "notify", "deadline": 60, "otherwise": "none"}, "skip", "is left to its owner: "),
        (
            {"method": "notify", "deadline": 60, "otherwise": "rebuild"},
            "pending",
            "is left to its owner for 60 s, then ",
        ),
        ({"method": "heat"}, "pending", "is left to its Heat stack: ha.zones.nova method=heat"),
        ({"method": "none"}, "skip", "is left as it is: ha.zones.nova method=none"),
        ({"method": "notify", "protect": False}, "skip", "is not protected: ha.zones.nova protect=false"),
    ],
)
def test_only_some_methods_evacuate(said: dict[str, t.Any], step: str, reason: str) -> None:
    site = Site()
    site.vm("a")
    line = by_policy(site, zones={"nova": said})["a"]
    assert (line["step"], line["method"]) == (step, said["method"])
    assert line["reason"].startswith(reason)
    assert bool(line["reason"]) == bool(reason)


@pytest.mark.parametrize(("otherwise", "step"), [("evacuate", "evacuate"), ("rebuild", "evacuate"), ("none", "skip")])
def test_once_its_owner_has_had_the_time_the_other_method_is_taken(otherwise: str, step: str) -> None:
    site = Site()
    site.vm("a")
    said = {"method": "notify", "deadline": 60, "otherwise": otherwise}
    line = by_policy(site, ["a"], zones={"nova": said})["a"]
    assert (line["step"], line["method"]) == (step, otherwise)


@pytest.mark.parametrize(
    ("otherwise", "of_vm", "step"),
    [
        ("rebuild", {}, "evacuate"),
        ("evacuate", {}, "skip"),
        ("evacuate", {"openstack_ha:local_disk_loss": "yes"}, "evacuate"),
        ("rebuild", {"openstack_ha:local_disk_loss": "no"}, "skip"),
    ],
)
def test_the_other_method_may_lose_local_disks_as_it_would_from_the_start(
    otherwise: str, of_vm: dict[str, str], step: str
) -> None:
    site = Site(segment={"shared_storage": False})
    site.vm("a", metadata=of_vm)
    said = {"method": "notify", "deadline": 60, "otherwise": otherwise}
    line = by_policy(site, ["a"], zones={"nova": said})["a"]
    assert (line["step"], line["local_disk_loss"]) == (step, step == "evacuate")


@pytest.mark.parametrize("by_segment", [True, False])
@pytest.mark.parametrize(
    ("said", "step"), [({"local_disk_loss": True}, 1), ({"local_disk_loss": False}, 0), ({}, None)]
)
def test_whether_local_disks_may_be_lost_is_said_of_each_vm(
    said: dict[str, t.Any], step: int | None, by_segment: bool
) -> None:
    site = Site(segment={"shared_storage": False, "allow_local_disk_loss": by_segment})
    site.vm("a")
    line = by_policy(site, zones={"nova": said})["a"]
    goes = by_segment if step is None else bool(step)
    assert (line["step"], line["local_disk_loss"]) == ("evacuate" if goes else "skip", goes)


def test_a_rebuild_may_lose_local_disks_and_whoever_is_not_evacuated_loses_nothing() -> None:
    site = Site(segment={"shared_storage": False})
    for method in ("rebuild", "restart", "evacuate"):
        site.vm(method, metadata={"openstack_ha:method": method})
    found = lines(site)
    assert {name: line["step"] for name, line in found.items()} == {
        "rebuild": "evacuate",
        "restart": "pending",
        "evacuate": "skip",
    }


def test_contradictions_are_told_in_the_line_and_not_to_its_owner() -> None:
    site = Site()
    site.vm("a", metadata={"openstack_ha:priority": "1"}, tags=["openstack_ha:priority=2"])
    line = lines(site)["a"]
    assert line["priority"] == 500
    assert (len(line["policy_notes"]), line["note"]) == (1, "")
    assert line["policy_notes"][0].startswith("contradiction about priority at the level VM: ")


def test_an_unprotected_vm_whose_image_cannot_be_read_now_is_looked_at_again() -> None:
    site = Site(segment={"protect": False})
    site.vm("a")
    site.cloud.images["image"] = CloudError("no answer", status=None)
    assert lines(site)["a"]["step"] == "pending"
    site.cloud.images["image"] = CloudError("not yours", status=403)
    assert lines(site)["a"]["step"] == "skip"
    assert "not yours" in lines(site)["a"]["because"]


def test_what_a_moved_vm_waits_for_is_not_forgotten() -> None:
    site = Site()
    site.cloud.aggregates = [{"id": 1, "name": "ssd", "hosts": [DEAD], "metadata": {"openstack_ha:group": "db"}}]
    site.nova.add("a", "cmp03", metadata={"openstack_ha:after": "cache"})
    earlier(site, "a", state="landed")
    line = lines(site)["a"]
    assert (line["step"], line["group"], line["after"]) == ("follow", "db", ["cache"])


@pytest.mark.parametrize("count", [2, 40])
def test_the_policy_costs_a_call_for_aggregates_and_one_for_each_image(count: int) -> None:
    site = Site(room={"VCPU": 99, "MEMORY_MB": 99 * 1024})
    for number in range(count):
        site.vm(f"v{number}", image={"id": f"image{number % 2}"}, tenant_id=f"p{number}")
    asked: list[str] = []
    request = site.cloud.request

    def counted(method: str, service: str, path: str, *args: t.Any, **more: t.Any) -> t.Any:
        asked.append(path)
        return request(method, service, path, *args, **more)

    site.cloud.request = counted  # type: ignore[method-assign]
    lines(site)
    assert asked.count("/os-aggregates") == 1
    assert sorted(path for path in asked if path.startswith(("/v2", "/v3"))) == [
        "/v2/images/image0",
        "/v2/images/image1",
    ]


# -- server groups -----------------------------------------------------------------------------------------


def test_members_that_live_elsewhere_count_and_those_on_the_dead_host_do_not() -> None:
    site = Site()
    for name in "ab":
        site.vm(name)
    site.nova.add("c", "cmp02")
    site.cloud.groups = [group("anti-affinity", "a", "c", "gone"), group("affinity", "b")]
    assert lines(site)["a"]["target"] == "cmp03"


def test_a_member_that_is_on_its_way_counts_where_it_goes() -> None:
    site = Site()
    site.vm("a")
    site.vm("b", "active", ON_ITS_WAY)
    site.nova.evacuate("b", "cmp02", False)
    site.cloud.groups = [group("anti-affinity", "a", "b")]
    assert lines(site)["a"]["target"] == "cmp03"


def test_a_member_that_goes_nobody_knows_where_keeps_no_other_from_going() -> None:
    site = Site()
    site.vm("a")
    site.vm("b", "active", ON_ITS_WAY)
    site.nova.evacuate("b", "cmp02", False)
    site.nova.records[0]["dest_compute"] = None
    site.cloud.groups = [group("affinity", "a", "b")]
    assert lines(site)["a"]["step"] == "evacuate"


def test_groups_of_older_clouds_and_their_limits_are_understood() -> None:
    site = Site()
    site.vm("a")
    site.nova.add("c", "cmp02")
    site.cloud.groups = [{"policies": ["anti-affinity"], "members": ["a", "c"]}]
    assert lines(site)["a"]["target"] == "cmp03"
    site.cloud.groups = [group("anti-affinity", "a", "c", max_server_per_host="2")]
    assert "cmp02" in [lines(site)["a"]["target"], *lines(site)["a"]["alternates"]]


# -- what an earlier run left ------------------------------------------------------------------------------------


def earlier(site: Site, server_id: str, **row: t.Any) -> None:
    site.ledger.rows[server_id] = {
        "server_id": server_id,
        "name": f"vm-{server_id}",
        "host": DEAD,
        "former_state": "running",
        "priority": 500,
        "method": "evacuate",
        "attempts": 0,
        "facts": {"project": "p1", "note": ""},
        **row,
    }


@pytest.mark.parametrize(
    ("state", "row", "former"),
    [
        ("active", {"state": "requesting"}, "stopped"),
        ("active", {"state": "pending", "attempts": 1}, "stopped"),
        ("error", {"state": "planned"}, "stopped"),
        ("active", {"state": "planned"}, "running"),
        ("active", {"state": "pending", "attempts": 0}, "running"),
    ],
)
def test_the_ledger_is_believed_about_former_power_once_we_have_acted(
    state: str, row: dict[str, t.Any], former: str
) -> None:
    site = Site()
    site.vm("a", state, **{"OS-EXT-STS:power_state": 1})
    earlier(site, "a", former_state="stopped", **row)
    assert lines(site)["a"]["former"] == former


@pytest.mark.parametrize("state", ["planned", "requesting", "requested", "landed", "started", "pending", "failed"])
def test_a_vm_that_has_left_is_seen_to_its_end(state: str) -> None:
    site = Site()
    site.nova.add("a", "cmp03")
    earlier(site, "a", state=state, former_state="stopped")
    line = lines(site)["a"]
    assert (line["step"], line["target"], line["former"], line["host"]) == ("follow", "cmp03", "stopped", DEAD)


@pytest.mark.parametrize("state", ["verified", "skipped"])
def test_a_vm_that_has_left_and_is_done_is_not_in_the_plan(state: str) -> None:
    site = Site()
    site.nova.add("a", "cmp03")
    earlier(site, "a", state=state)
    assert lines(site) == {}


def test_a_vm_that_has_gone_is_skipped() -> None:
    site = Site()
    earlier(site, "a", state="requested")
    assert (lines(site)["a"]["step"], lines(site)["a"]["reason"]) == ("skip", "was deleted meanwhile")


def test_records_of_the_past_are_not_followed() -> None:
    site = Site()
    site.vm("a", "active", Fate(ends="no_host", takes=0.0))
    site.nova.evacuate("a", "cmp02", False)
    line = lines(site)["a"]
    assert (line["step"], line["floor"]) == ("evacuate", 1)


def test_the_topology_of_the_tests_is_what_the_inventory_makes() -> None:
    assert set(topology("x")["hosts"]["x"]) <= {
        "segment", "role", "zone", "failure_domain", "hypervisor_hostname", "hypervisor_id", "host_ip", "probe",
        "fencing_levels",
    }  # fmt: skip
