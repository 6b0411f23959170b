from __future__ import annotations

from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, config

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.etcd_gateway import Change
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.kind_etcd import Hosts, members


class Site:
    def __init__(self, directory: Path) -> None:
        self.board, self.spool = board(Clock())
        self.hosts = Hosts(self.board, "p/", str(directory / "hosts.json"), "reporter:etcd")

    def said(self) -> list[tuple[str, str]]:
        return [(it["data"]["host"], it["type"].rpartition(".")[2]) for it in self.spool.batch(99, 10**6)]


def test_a_host_whose_key_goes_is_unreachable_until_it_comes_back(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.hosts.all(5, ["p/cmp01", "p/cmp02", "other"])
    site.hosts.take(Change("p/cmp01", False, 6))
    site.hosts.take(Change("p/cmp01", True, 7))
    site.hosts.take(Change("p/cmp03", True, 8))
    site.hosts.all(9, ["p/cmp01", "p/cmp02"])
    assert site.said() == [("cmp01", "unreachable"), ("cmp01", "reachable"), ("cmp03", "unreachable")]


def test_a_host_that_lost_its_key_while_nobody_looked_is_found(tmp_path: Path) -> None:
    Site(tmp_path).hosts.all(5, ["p/cmp01", "p/cmp02"])
    later = Site(tmp_path)
    later.hosts.all(9, ["p/cmp02"])
    assert later.said() == [("cmp01", "unreachable")]


def test_what_is_older_than_what_is_known_counts_for_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.hosts.all(5, ["p/cmp01"])
    site.hosts.take(Change("p/cmp01", False, 4))
    site.hosts.all(3, [])
    assert site.said() == []
    site.hosts.begin()  # another member, perhaps of a cluster that was restored
    site.hosts.all(3, [])
    assert site.said() == [("cmp01", "unreachable")]


def test_keys_below_that_of_a_host_are_not_its_lease(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.hosts.all(5, ["p/cmp01"])
    site.hosts.take(Change("p/cmp01/notes", False, 6))
    site.hosts.take(Change("q/cmp01", False, 7))
    assert site.said() == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, r"etcd\.endpoints: is missing"),
        ({"endpoints": ["etcd1:2379"]}, r"etcd\.endpoints\[0\]: must be like"),
        ({"endpoints": ["https://192.0.2.1:2379"], "ca_file": "/no/such"}, "etcd: its certificates cannot be read"),
    ],
)
def test_wrong_options_are_refused(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        members(config(etcd=section).section("etcd"))
