from __future__ import annotations

import json
import os
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import site as sites
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Keeper, Site

SEGMENTS = {
    "plugin": "openstack_ha.recovery.failover_segments",
    "cloud": "prod",
    "segments": {"rack1": {"hosts": ["cmp01", "cmp02"]}},
}


class Cloud:
    """A Nova with these hosts."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = list(hosts)
        self.away = False
        self.asked = 0

    def best_microversion(self, wanted: str) -> str:
        return wanted

    def get(self, _service: str, path: str, *_rest: t.Any, **_more: t.Any) -> dict[str, t.Any]:
        if self.away:
            raise CloudError("no answer")
        self.asked += 1
        if path == "/os-services":
            return {"services": [self.service(host) for host in self.hosts]}
        if path == "/os-aggregates":
            return {"aggregates": []}
        found = [
            {"id": host, "service": {"host": host}, "hypervisor_hostname": host, "host_ip": f"192.0.2.{number}"}
            for number, host in enumerate(self.hosts, 1)
        ]
        return {"hypervisors": found}

    def service(self, host: str) -> dict[str, t.Any]:
        return {
            "binary": "nova-compute", "host": host, "id": host, "zone": "nova", "state": "up", "status": "enabled",
            "disabled_reason": None, "forced_down": False,
        }  # fmt: skip


class Set:
    def __init__(self, directory: Path) -> None:
        self.segments = directory / "prod.failover_segments.yml"
        self.policy = directory / "ha_policy.yml"
        self.segments.write_text(json.dumps(SEGMENTS))
        self.cloud, self.now = Cloud("cmp01", "cmp02"), 0.0
        self.told: list[str | None] = []
        self.said: list[str] = []
        self.keeper = Keeper(
            str(self.segments), None, t.cast(t.Any, self.cloud), lambda: self.now, self.told.append, self.said.append
        )

    def write(self, path: Path, contents: t.Any) -> None:
        """A file is replaced, as editors and deployments do; its time may not even change."""
        new = path.with_suffix(".new")
        new.write_text(contents if isinstance(contents, str) else json.dumps(contents))
        os.replace(new, path)


@pytest.fixture
def it(tmp_path: Path) -> Set:
    return Set(tmp_path)


def hosts(site: Site | None) -> list[str]:
    assert site
    return site.hosts()


def test_the_site_is_what_the_files_and_nova_say(it: Set) -> None:
    assert it.keeper.current() is None
    site = it.keeper.refresh()
    assert site is it.keeper.current()
    assert site
    assert (site.hosts(), site.segment("cmp01"), site.segment("cmp99")) == (["cmp01", "cmp02"], "rack1", None)
    assert site.addresses == {"192.0.2.1": "cmp01", "192.0.2.2": "cmp02"}
    assert site.policy["gates"]["witnesses"]["needed"] == 2
    assert it.told == [None]
    assert "2 hosts" in it.said[0]


def test_nothing_is_read_again_as_long_as_nothing_changes(it: Set) -> None:
    first = it.keeper.refresh()
    asked = it.cloud.asked
    it.now = 59.0
    assert it.keeper.refresh() is first
    assert it.cloud.asked == asked
    it.now = 61.0
    assert it.keeper.refresh() is first, "the same again"
    assert it.cloud.asked > asked


def test_a_new_host_is_found_within_a_minute(it: Set) -> None:
    it.keeper.refresh()
    it.write(it.segments, {**SEGMENTS, "segments": {"rack1": {"availability_zone": "nova"}}})
    it.keeper.refresh()
    it.cloud.hosts.append("cmp03")
    it.now = 61.0
    assert hosts(it.keeper.refresh()) == ["cmp01", "cmp02", "cmp03"]


def test_a_changed_policy_holds_at_once_and_a_wrong_one_never(it: Set) -> None:
    first = it.keeper.refresh()
    it.write(it.policy, "gates: {witnesses: {needed: 3}}\n")
    second = it.keeper.refresh()
    assert first
    assert second
    assert second.policy["gates"]["witnesses"]["needed"] == 3
    assert second.policy_hash != first.policy_hash
    it.write(it.policy, "gates: {witnesses: {needed: many}}\n")
    for _look in range(3):
        assert it.keeper.refresh() is second
    assert it.told[:-1] == [None, None]
    assert "gates.witnesses.needed" in str(it.told[-1])
    it.write(it.policy, "gates: {witnesses: {needed: 2}}\n")
    third = it.keeper.refresh()
    assert third == first
    assert it.told[-1] is None


def test_a_segment_of_hosts_that_nova_does_not_know_is_refused_until_it_does(it: Set) -> None:
    first = it.keeper.refresh()
    it.write(it.segments, {**SEGMENTS, "segments": {"rack1": {"hosts": ["cmp01", "cmp03"]}}})
    assert it.keeper.refresh() is first
    assert "cmp03" in str(it.told[-1])
    it.cloud.hosts.append("cmp03")
    it.now = 61.0
    assert hosts(it.keeper.refresh()) == ["cmp01", "cmp03"]
    assert it.told[-1] is None


def test_a_nova_that_is_away_is_asked_again_and_again(it: Set) -> None:
    it.cloud.away = True
    assert it.keeper.refresh() is None
    assert it.told == ["no answer"]
    assert it.keeper.refresh() is None
    assert it.told == ["no answer"], "told once"
    it.cloud.away = False
    assert it.keeper.refresh()
    assert it.told[-1] is None


def test_it_is_read_again_when_that_is_asked_for(it: Set) -> None:
    it.keeper.refresh()
    asked = it.cloud.asked
    it.keeper.soon()
    it.keeper.refresh()
    assert it.cloud.asked > asked


def test_who_waits_is_told_when_something_is_different(it: Set) -> None:
    stopped = threading.Event()
    changes: list[None] = []

    def changed() -> None:
        changes.append(None)
        stopped.set()

    it.keeper.run(stopped, changed)
    assert changes == [None]


def test_an_address_of_two_hosts_is_nobodys(it: Set) -> None:
    topology: t.Any = {
        "hosts": {
            "cmp01": {"host_ip": "192.0.2.1", "probe": ["tcp://192.0.2.9:22"]},
            "cmp02": {"host_ip": None, "probe": ["tcp://192.0.2.9:22", "tcp://[2001:db8::2]:22"]},
        }
    }
    assert Site(topology, {}, "", "").addresses == {"192.0.2.1": "cmp01", "2001:db8::2": "cmp02"}


def test_the_connection_is_that_of_the_segments_file(tmp_path: Path) -> None:
    path = tmp_path / "prod.failover_segments.yml"
    path.write_text(json.dumps({**SEGMENTS, "verify": False}))
    assert sites.connection(str(path)) == {"cloud": "prod", "validate_certs": False}
    path.write_text(json.dumps({**SEGMENTS, "cloud": "{{ site }}"}))
    with pytest.raises(ConfigError, match=r"name the cloud in responder.yml"):
        sites.connection(str(path))
