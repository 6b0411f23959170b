from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import config, configuration

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.config import (
    SECTIONS,
    Network,
    Responder,
    load,
    options,
    parse,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import ConfigError

NETWORKS = {"admin": {"source": "192.0.2.11", "interface": "eth0", "check": ["tcp://192.0.2.1:22", "192.0.2.2:53"]}}
HEARD = [{"name": "ctl1", "url": "https://ctl1:7411/", "ca_file": "/ca.pem", "beats": {"admin": "192.0.2.5:7412"}}]


def test_what_stands_in_the_file_is_what_is_used(tmp_path: Path) -> None:
    path = tmp_path / "monitor.json"
    path.write_text(json.dumps(configuration(networks=NETWORKS, responders=HEARD)))
    found = load(str(path))
    assert found.networks == (Network("admin", "192.0.2.11", "eth0", (("192.0.2.1", 22), ("192.0.2.2", 53))),)
    assert found.responders == (Responder("ctl1", "https://ctl1:7411", "/ca.pem", {"admin": ("192.0.2.5", 7412)}),)
    assert (found.principal, found.interval, found.repeat) == ("host:cmp01", 0.5, 30.0)


def test_ipv6_addresses_are_understood() -> None:
    networks = {"admin": {"source": "2001:db8::11"}}
    heard = [{**HEARD[0], "beats": {"admin": "[2001:db8::5]:7412"}}]
    assert config(networks=networks, responders=heard).responders[0].beats == {"admin": ("2001:db8::5", 7412)}


def test_an_adapter_has_a_principal_of_its_own() -> None:
    assert config(principal="reporter:pacemaker").principal == "reporter:pacemaker"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_defaults(section: str) -> None:
    assert set(config().section(section)) == set(options(section))


@pytest.mark.parametrize("content", ["", "[]", '{"host": "cmp01"', "\xff"])
def test_a_file_that_is_none_is_refused_with_its_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "monitor.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=f"^{path}: "):
        load(str(path))


def test_a_file_that_is_missing_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(str(tmp_path / "none"))


def heard(**more: t.Any) -> list[t.Any]:
    return [{**HEARD[0], **more}]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"networks": NETWORKS, "hots": 1}, "hots: no such option"),
        ({"networks": {"admin": {}}}, "networks.admin.source: is missing"),
        ({"networks": {"admin": {"source": "eth0"}}}, "networks.admin.source: must be an address"),
        ({"networks": {"a": {"source": "192.0.2.1", "check": ["gw:1"]}}}, r"networks.a.check\[0\]: must be like"),
        ({"responders": []}, "responders: must be at least 1 elements"),
        ({"responders": heard(ca_file=None)}, r"responders\[0\].ca_file: is missing"),
        ({"responders": heard(url="http://ctl1:1")}, r"responders\[0\].ca_file: is of no use"),
        ({"responders": heard(url="ctl1:7411")}, r"responders\[0\].url: must be like"),
        ({"responders": heard(url="https://u@ctl1:7411")}, r"responders\[0\].url: must be like"),
        ({"responders": heard(url="https://ctl1:99999")}, r"responders\[0\].url: must be like"),
        ({"responders": heard(), "networks": {}}, "responders: ctl1: beats.admin: networks has no admin"),
        ({"networks": {"admin": {"source": "2001:db8::1"}}, "responders": heard()}, "responders: ctl1: beats.admin: "),
        ({"networks": NETWORKS, "responders": heard(beats={"admin": "ctl1:7412"})}, r"responders\[0\].beats.admin: "),
        ({"networks": NETWORKS, "responders": heard() * 2}, "responders: each needs a name of its own"),
        ({"principal": "cmp01"}, "principal: must be host:NAME"),
        ({"heartbeat": {"interval": 0}}, "heartbeat.interval: must be at least 0.05"),
        ({"watchdog": {"treshold": 1}}, "watchdog.treshold: no such option"),
        ({"network": {"failures": 0}}, "network.failures: must be at least 1"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(more: dict[str, t.Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        parse(configuration(**more))
