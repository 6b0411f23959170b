from __future__ import annotations

import socket
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.config import Network
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.links import (
    Judge,
    Seen,
    drain,
    events,
    link,
    reach,
)

GOOD, SILENT = Seen(link=True, answered=True), Seen(link=True, answered=False)
DOWN = Seen(link=False)


def judged(judge: Judge, *looks: Seen) -> list[str]:
    return [judge.see(it) for it in looks]


def test_a_network_is_ok_from_the_first_good_look() -> None:
    assert judged(Judge(3, 2), GOOD) == ["ok"]


def test_silence_is_believed_after_some_looks_in_a_row() -> None:
    judge = Judge(3, 2)
    assert judged(judge, GOOD, SILENT, SILENT, GOOD, SILENT, SILENT, SILENT) == ["ok"] * 6 + ["failed"]


def test_an_answer_is_believed_after_some_looks_in_a_row() -> None:
    judge = Judge(3, 2)
    assert judged(judge, SILENT, SILENT) == ["", ""], "not yet known"
    assert judged(judge, SILENT, GOOD, SILENT, GOOD, GOOD) == ["failed"] * 4 + ["ok"]


def test_a_pulled_cable_is_believed_at_once() -> None:
    judge = Judge(3, 2)
    assert judged(judge, GOOD, DOWN) == ["ok", "failed"]
    assert judged(judge, GOOD, GOOD) == ["failed", "ok"], "but its coming back is not"


def test_without_addresses_to_check_the_link_is_all_there_is() -> None:
    judge = Judge(3, 2)
    assert judged(judge, Seen(link=True), Seen(link=False), Seen(link=True)) == ["ok", "failed", "ok"]


def interface(sysfs: Path, operstate: str, carrier: str | None) -> str:
    (sysfs / "eth0").mkdir()
    (sysfs / "eth0" / "operstate").write_text(f"{operstate}\n")
    if carrier is not None:
        (sysfs / "eth0" / "carrier").write_text(f"{carrier}\n")
    return str(sysfs)


@pytest.mark.parametrize(
    ("operstate", "carrier", "expected"),
    [
        ("up", "1", (True, "eth0: up")),
        ("unknown", "1", (True, "eth0: up")),
        ("unknown", "0", (False, "eth0: no carrier")),
        ("down", "0", (False, "eth0: no carrier")),
        ("down", None, (False, "eth0: down")),
        ("dormant", "1", (False, "eth0: dormant")),
        ("lowerlayerdown", "0", (False, "eth0: no carrier")),
    ],
)
def test_the_kernel_tells_whether_a_link_is_up(
    tmp_path: Path, operstate: str, carrier: str | None, expected: tuple[bool, str]
) -> None:
    assert link("eth0", interface(tmp_path, operstate, carrier)) == expected


def test_an_interface_that_is_gone_carries_nothing(tmp_path: Path) -> None:
    assert link("eth0", str(tmp_path)) == (False, "eth0: there is no such interface")


def test_the_loopback_interface_of_this_machine_is_up() -> None:
    assert link("lo") == (True, "lo: up")


def test_the_kernel_is_asked_to_tell_of_changes() -> None:
    opened = events()
    if opened is None:
        pytest.skip("no netlink here")
    with opened:
        drain(opened)


@pytest.fixture
def listener() -> t.Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def network(*check: tuple[str, int], source: str = "127.0.0.1", name: str = "admin") -> Network:
    return Network(name, source, None, check)


def test_one_address_that_answers_is_enough(listener: socket.socket) -> None:
    address = listener.getsockname()
    found = reach([network(("192.0.2.1", 9), address)], 60.0)
    assert found == {"admin": (True, f"127.0.0.1 port {address[1]}: answers")}


def test_it_is_asked_from_the_address_of_this_network(listener: socket.socket) -> None:
    reach([network(listener.getsockname(), source="127.0.0.9")], 60.0)
    assert listener.accept()[1][0] == "127.0.0.9"


def test_a_port_where_nobody_listens_is_an_answer_all_the_same() -> None:
    assert reach([network(("127.0.0.1", 1))], 60.0)["admin"][0]


def test_an_address_of_this_host_that_is_gone_reaches_nobody(listener: socket.socket) -> None:
    found = reach([network(listener.getsockname(), source="192.0.2.77")], 60.0)
    assert found["admin"] == (False, f"127.0.0.1 port {listener.getsockname()[1]}: Cannot assign requested address")


def test_every_network_is_told_apart(listener: socket.socket) -> None:
    good = network(listener.getsockname())
    bad = network(listener.getsockname(), source="192.0.2.77", name="storage")
    found = reach([good, bad, network(name="tenant")], 60.0)
    assert {name: answered for name, (answered, _what) in found.items()} == {"admin": True, "storage": False}


def test_who_does_not_answer_in_time_does_not_answer() -> None:
    with socket.socket() as full:  # a queue of connections that nobody accepts lets no more in
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            found = reach([network(full.getsockname())], 0.05)
    assert found == {"admin": (False, "no answer")}
