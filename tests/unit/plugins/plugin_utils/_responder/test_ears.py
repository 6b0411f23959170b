from __future__ import annotations

import asyncio
import socket
import struct
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.heartbeat import Sender, key_of
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.config import Address
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Credentials, token_of
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.ears import Ears, Keys, plain
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import Changes, Hearing

MASTER, OTHER = b"m" * 32, b"o" * 32
LOOPBACK = Address("127.0.0.1", 0)
CRASH_KERNEL = struct.pack("<II", 0x1B302A40, 1)


class Place:
    """Ears with sockets on loopback, and a host that beats for them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.counted: list[str] = []
        self.changes: list[Changes] = []
        self.hearing = Hearing(["admin", "storage"], 2.5, 0.0)
        self.ears = Ears(
            self.hearing,
            Credentials([MASTER]),
            self.changes.append,
            self.counted.append,
            self.host_of,
            lambda: self.now,
        )
        self.host = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host.bind(("127.0.0.1", 0))
        self.host.setblocking(False)

    def host_of(self, address: str) -> str | None:
        return {"127.0.0.1": "cmp01"}.get(address)

    def port(self, number: int) -> t.Any:
        return self.ears._sockets[number].getsockname()

    async def until(self, reached: t.Callable[[], t.Any]) -> t.Any:
        for _try in range(3000):
            found = reached()
            if found:
                return found
            await asyncio.sleep(0.01)
        raise AssertionError("not within 30 s")

    async def beat(self, sender: Sender, number: int = 0) -> None:
        """One datagram, and its answer."""
        before = len(self.counted)
        self.host.sendto(sender.beat(True, 77.0), self.port(number))
        await self.until(lambda: len(self.counted) > before)
        if self.counted[-1] != "refused":
            sender.take(await self.until(self.answer))

    def answer(self) -> bytes | None:
        try:
            return self.host.recvfrom(2048)[0]
        except BlockingIOError:
            return None

    def word(self) -> str:
        self.now += 0.1
        self.ears.tick()
        return self.hearing.look().word("cmp01")


def listening(test: t.Callable[[Place], t.Coroutine[t.Any, t.Any, None]]) -> None:
    """Run a test while there are ears on both networks, and one for crash kernels."""

    async def run() -> None:
        place = Place()
        place.ears.listen({"admin": LOOPBACK, "storage": LOOPBACK}, [LOOPBACK])
        try:
            await test(place)
        finally:
            place.ears.close()
            place.host.close()

    asyncio.run(run())


def sender(network: str = "admin", master: bytes = MASTER) -> Sender:
    return Sender("cmp01", network, key_of(token_of(master, "host:cmp01")))


def test_a_host_counts_as_alive_from_its_second_datagram_on() -> None:
    async def test(place: Place) -> None:
        host = sender()
        await place.beat(host)
        assert (place.counted, place.word()) == (["not_counted"], "unknown")
        await place.beat(host)
        assert (place.counted[-1], place.word()) == ("counted", "up")
        heard = place.hearing.look()
        assert heard.armed == {"cmp01": True}
        assert 77.0 <= heard.up_for["cmp01"] < 78.0
        assert place.changes[-1].back == [("cmp01", "admin")]

    listening(test)


def test_what_was_not_said_with_the_key_of_the_host_is_not_heard() -> None:
    async def test(place: Place) -> None:
        for _try in range(2):
            await place.beat(sender(master=OTHER))
        assert place.counted == ["refused"] * 2

    listening(test)


def test_what_comes_over_another_network_than_it_says_is_not_heard() -> None:
    async def test(place: Place) -> None:
        await place.beat(sender("storage"), 0)
        assert place.counted == ["refused"]

    listening(test)


def test_new_keys_hold_at_once() -> None:
    async def test(place: Place) -> None:
        place.ears.renew(Credentials([OTHER]))
        host = sender(master=OTHER)
        await place.beat(host)
        await place.beat(host)
        assert place.counted[-1] == "counted"

    listening(test)


def test_a_crash_kernel_is_heard_by_its_address_and_announced_once() -> None:
    async def test(place: Place) -> None:
        for number, message in enumerate((b"garbage", CRASH_KERNEL, CRASH_KERNEL)):
            place.host.sendto(message, place.port(2))
            await place.until(lambda before=number: len(place.counted) > before)
        assert place.counted == ["refused", "crash_kernel", "crash_kernel"]
        assert place.changes == [Changes(["cmp01"], [], [])]
        assert list(place.hearing.look().kdump) == ["cmp01"]

    listening(test)


def test_many_datagrams_at_once_are_all_taken() -> None:
    async def test(place: Place) -> None:
        for _number in range(200):
            place.host.sendto(b"x", place.port(0))
        await place.until(lambda: len(place.counted) == 200)

    listening(test)


def test_a_silent_host_is_told_of() -> None:
    async def test(place: Place) -> None:
        host = sender()
        await place.beat(host)
        await place.beat(host)
        stopped = asyncio.Event()
        for _tick in range(30):
            place.word()
        assert any(("cmp01", "admin") in changes.lost for changes in place.changes)
        stopped.set()
        await place.ears.tick_until(stopped)

    listening(test)


def test_an_address_that_is_taken_is_named() -> None:
    async def run() -> None:
        place = Place()
        taken = Address(*place.host.getsockname())
        try:
            with pytest.raises(ConfigError, match=r"heartbeat.networks.admin: cannot listen at UDP 127.0.0.1 port"):
                place.ears.listen({"admin": taken}, [])
        finally:
            place.ears.close()
            place.host.close()

    asyncio.run(run())


def test_keys_are_kept_but_not_for_any_number_of_names() -> None:
    keys = Keys(Credentials([MASTER, OTHER]))
    assert keys("cmp01") == [key_of(token_of(master, "host:cmp01")) for master in (MASTER, OTHER)]
    keys._known = {str(number): [] for number in range(100_000)}
    keys("cmp02")
    assert list(keys._known) == ["cmp02"]


@pytest.mark.parametrize(
    ("written", "means"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1")],
)
def test_an_address_is_the_same_however_it_arrives(written: str, means: str) -> None:
    assert plain(written) == means
