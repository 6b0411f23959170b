from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file, _selectors, _vm_facts
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

Json = dict[str, t.Any]


@pytest.fixture
def cloud() -> FakeCloud:
    fake = FakeCloud(Nova(Clock(), ["cmp01", "cmp02"], []), {})
    fake.aggregates = [
        {"id": 1, "name": "ssd", "hosts": ["cmp01", "cmp02"], "metadata": {"k": "v"}},
        {"id": 2, "name": "other", "hosts": ["cmp02"], "metadata": {}},
        {"id": 3, "name": "fast", "hosts": ["cmp01"]},
    ]
    fake.images = {"image": {"id": "image", "name": "ubuntu", "tags": ["amphora"], "status": "active", "os_type": "x"}}
    return fake


def facts(cloud: FakeCloud, policy: Json | None = None, **server: t.Any) -> Json:
    it = cloud.nova.add("a", "cmp01", tags=["gold"], user_id="u1", **server)
    return dict(_vm_facts.read(t.cast(t.Any, cloud), [it], {"cmp01": "rack1"}, policy or {})["a"])


def policy(**ha: t.Any) -> Json:
    return dict(_policy_file.parse({"ha": ha}, ["rack1"], []).values)


def test_the_facts_are_those_that_selectors_know_and_no_host_is_among_them(cloud: FakeCloud) -> None:
    cloud.nova.add("b", "cmp01")
    found = facts(cloud, metadata={"role": "db"})
    assert set(found) == set(_selectors.FACTS)
    assert "cmp01" not in repr(found)
    assert found == {
        "id": "a",
        "name": "vm-a",
        "project": {"id": "p1", "name": ""},
        "user_id": "u1",
        "region": "RegionOne",
        "cell": None,
        "zone": "nova",
        "aggregates": [{"name": "fast", "metadata": {}}, {"name": "ssd", "metadata": {"k": "v"}}],
        "flavor": {"name": "", "extra_specs": {}},
        "image": {
            "id": "image",
            "name": "ubuntu",
            "properties": {"status": "active", "os_type": "x"},
            "tags": ["amphora"],
        },
        "metadata": {"role": "db"},
        "tags": ["gold"],
        "boot_from_volume": False,
        "local_disk": True,
        "segment": "rack1",
    }


def test_a_vm_without_an_image_was_booted_from_a_volume(cloud: FakeCloud) -> None:
    found = facts(cloud, image="")
    assert (found["image"], found["boot_from_volume"], found["local_disk"]) == (None, True, False)


@pytest.mark.parametrize(
    ("status", "told"), [(404, {}), (403, {"forbidden": "no"}), (401, {"forbidden": "no"}), (None, {"unread": "no"})]
)
def test_why_an_image_is_not_known_is_told_unless_it_was_deleted(
    cloud: FakeCloud, status: int | None, told: Json
) -> None:
    cloud.images["image"] = CloudError("no", status=status)
    assert facts(cloud)["image"] == {"id": "image", "name": "", "properties": {}, "tags": [], **told}


def test_names_of_projects_are_asked_for_where_the_policy_is_about_them(cloud: FakeCloud) -> None:
    cloud.projects = {"p1": "billing"}
    by_id, by_name = policy(projects={"0" * 32: {}}), policy(projects={"billing": {}})
    selecting = policy(vms=[{"when": "project.name == 'x'", "protect": False}])
    excluding = policy(exclude={"x": {"when": "project.name == 'x'", "because": "y"}})
    asked = [facts(cloud, it)["project"]["name"] for it in (by_id, by_name, selecting, excluding)]
    assert asked == ["", "billing", "billing", "billing"]


def test_a_project_whose_name_is_not_told_has_the_reason(cloud: FakeCloud) -> None:
    found = facts(cloud, policy(projects={"billing": {}}))["project"]
    assert found == {"id": "p1", "name": "", "unread": "p1 not found"}


@pytest.mark.parametrize(
    ("cells", "cell"),
    [
        ({"c1": {"segments": ["rack1"]}}, "c1"),
        ({"c1": {"zones": ["nova"]}}, "c1"),
        ({"c1": {"aggregates": ["ssd"]}}, "c1"),
        ({"c1": {"aggregates": ["other"]}}, None),
        ({"c1": {"zones": ["nova"]}, "c2": {"aggregates": ["ssd"]}}, None),
    ],
)
def test_the_cell_is_what_the_policy_says_belongs_to_it(cloud: FakeCloud, cells: Json, cell: str | None) -> None:
    assert facts(cloud, policy(cells=cells))["cell"] == cell


def test_aggregates_and_each_image_are_asked_for_once_for_all(cloud: FakeCloud) -> None:
    servers = [cloud.nova.add(str(number), "cmp01") for number in range(5)]
    request, asked = cloud.request, []

    def counted(method: str, service: str, path: str, *args: t.Any, **more: t.Any) -> t.Any:
        asked.append(path)
        return request(method, service, path, *args, **more)

    cloud.request = counted  # type: ignore[method-assign]
    found = _vm_facts.read(t.cast(t.Any, cloud), servers, {}, {})
    assert asked == ["/os-aggregates", "/v2/images/image"]
    assert sorted(found) == list("01234")
    assert _vm_facts.read(t.cast(t.Any, cloud), [], {}, {}) == {}
    assert len(asked) == 2
