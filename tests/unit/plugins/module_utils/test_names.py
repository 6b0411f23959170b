from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._names import HostNames

HOSTS = {
    "cmp01": "cmp01.dc1.example.net",
    "cmp02.a.example": "cmp02.a.example",
    "cmp02.b.example": "cmp02.b.example",
    "cmp03": None,
    "odd": "cmp04.dc1.example.net",
}


@pytest.mark.parametrize(
    ("name", "service_host"),
    [
        ("cmp01", "cmp01"),
        ("cmp01.dc1.example.net", "cmp01"),
        ("cmp02.b.example", "cmp02.b.example"),
        ("cmp03", "cmp03"),
        ("cmp04", "odd"),
        ("cmp04.dc1.example.net", "odd"),
    ],
)
def test_exact_names_and_unique_short_names_are_resolved(name: str, service_host: str) -> None:
    assert HostNames(HOSTS).resolve(name, "failed_hosts[0]") == service_host


def test_a_short_name_of_two_hosts_is_refused_with_both() -> None:
    with pytest.raises(ConfigError, match=r"failed_hosts\[0\]: 'cmp02' is ambiguous") as caught:
        HostNames(HOSTS).resolve("cmp02", "failed_hosts[0]")
    assert "'cmp02.a.example' or 'cmp02.b.example'" in caught.value.message


def test_an_exact_name_wins_over_the_equal_short_name_of_another_host() -> None:
    assert HostNames({"cmp01": "cmp01", "cmp01.b.example": "cmp01.b.example"}).resolve("cmp01", "p") == "cmp01"


def test_a_name_that_is_the_service_host_of_one_and_the_hypervisor_of_another_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ambiguous: it can be 'a' \(hypervisor 'b'\) or 'b' \(hypervisor 'c'\)"):
        HostNames({"a": "b", "b": "c"}).resolve("b", "p")


def test_a_longer_name_is_never_cut_down_to_a_short_one() -> None:
    with pytest.raises(ConfigError, match=r"no compute host 'cmp01.dc2.example.net'. Is it 'cmp01' \(hypervisor"):
        HostNames(HOSTS).resolve("cmp01.dc2.example.net", "p")


def test_a_mistyped_name_gets_the_nearest_one_suggested() -> None:
    with pytest.raises(ConfigError, match=r"no compute host 'cmp3'. Is it .*'cmp03'"):
        HostNames(HOSTS).resolve("cmp3", "p")


def test_a_name_like_no_other_says_where_names_are_shown() -> None:
    with pytest.raises(ConfigError, match="openstack compute service list"):
        HostNames(HOSTS).resolve("zzzzzz", "p")


def test_of_many_candidates_only_some_are_listed() -> None:
    with pytest.raises(ConfigError, match="or 3 more"):
        HostNames({f"n.{number}.example": None for number in range(8)}).resolve("n", "p")
