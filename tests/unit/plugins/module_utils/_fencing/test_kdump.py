from __future__ import annotations

import contextlib
import struct
import typing as t

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import Clock, FakeDevice, fake_world, level

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import FencingError, Level
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.kdump import Kdump
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Fencing, Hooks, Outcome
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import (
    parse_levels,
    validate_levels,
)

HOST = "192.0.2.13"
MESSAGE = struct.pack("<II", 0x1B302A40, 1)
BMC = {"method": "ipmi", "address": "10.0.0.13", "username": "fence", "password": "hunter2"}
KDUMP = {"method": "kdump", "from": [HOST]}


class Network:
    """Datagrams that arrive at certain moments after the fencing began."""

    def __init__(self, clock: Clock, arrivals: t.Sequence[tuple[float, bytes]]) -> None:
        self.clock = clock
        self.arrivals = [(clock.now + after, content) for after, content in arrivals]
        self.opened: list[tuple[t.Any, ...]] = []

    @contextlib.contextmanager
    def listen(self, *where: t.Any) -> t.Iterator[Network]:
        self.opened.append(where)
        yield self

    def hear(self, timeout: float) -> tuple[str, bytes] | None:
        if self.arrivals and self.arrivals[0][0] <= self.clock.now + timeout:
            moment, content = self.arrivals.pop(0)
            self.clock.now = max(self.clock.now, moment)
            return HOST, content
        self.clock.now += timeout
        return None


def beats(*moments: float, content: bytes = MESSAGE) -> list[tuple[float, bytes]]:
    return [(moment, content) for moment in moments]


def fence(
    clock: Clock, arrivals: t.Sequence[tuple[float, bytes]], then: FakeDevice | None = None, **options: t.Any
) -> Outcome:
    """With a level of kdump, and one of a device if there is one."""
    hooks = Hooks(while_waiting=options.pop("while_waiting", lambda: None))
    probe = options.pop("probe", "silent")
    timeout = options.pop("timeout", 300)
    network = Network(clock, arrivals)
    world = fake_world(clock, listen=network.listen, probe=lambda urls, timeout: dict.fromkeys(urls, probe))
    given = [{"timeout": timeout, "devices": [{**KDUMP, **options}]}, {"devices": [BMC]}]
    levels = parse_levels(given, world)[:1] + ([level(then, number=2)] if then else [])
    return Fencing("cmp03", {}, world, hooks).run(levels, ["tcp://192.0.2.13:22"])


def test_without_a_crash_kernel_the_next_level_goes_on_as_soon_as_one_would_have_been_heard() -> None:
    clock = Clock()
    device = FakeDevice(clock)
    outcome = fence(clock, [], device)
    assert device.commands == [1015.0]
    assert (outcome.off, outcome.level, outcome.methods) == (True, 2, ["ipmi"])
    assert outcome.evidence[0]["observed_state"] == "silent"
    assert outcome.evidence[0]["error"] is None


def test_the_power_is_cut_only_when_the_messages_have_ended() -> None:
    clock = Clock()
    device = FakeDevice(clock)
    outcome = fence(clock, beats(5, 15, 25, 35), device)
    assert device.commands == [1060.0], "25 s after the last one"
    assert outcome.level == 2
    assert "4 messages in 30.0 s, then silence" in outcome.evidence[0]["answer"]
    assert outcome.evidence[0]["observed_state"] == "crash kernel"


def test_a_dump_that_takes_too_long_is_cut_off_and_that_is_said() -> None:
    clock = Clock()
    device = FakeDevice(clock)
    outcome = fence(clock, beats(*range(5, 1000, 10)), device, timeout=60)
    assert device.commands == [1060.0]
    assert "a dump may be lost" in outcome.evidence[0]["answer"]


def test_heard_or_not_it_proves_nothing_by_default() -> None:
    for arrivals in ([], beats(1), beats(*range(5, 1000, 10))):
        outcome = fence(Clock(), arrivals)
        assert (outcome.level, outcome.off, outcome.commanded) == (None, False, False)


@pytest.mark.parametrize(
    "content",
    [b"", MESSAGE[:7], MESSAGE + b"\0", struct.pack("<II", 0x1B302A41, 1), struct.pack("<II", 0x1B302A40, 2)],
)
def test_what_is_not_exactly_such_a_message_is_not_heard(content: bytes) -> None:
    assert fence(Clock(), beats(1, 2, 3, content=content), accept=True).level is None


def test_a_machine_of_the_other_byte_order_is_understood() -> None:
    assert fence(Clock(), beats(1, content=struct.pack(">II", 0x1B302A40, 1)), accept=True).level == 1


def test_a_message_is_a_proof_at_once_where_the_operator_says_so() -> None:
    clock = Clock()
    device = FakeDevice(clock)
    outcome = fence(clock, beats(5, 15), device, accept=True)
    assert (outcome.level, outcome.methods, outcome.proof) == (1, ["kdump"], "crash kernel")
    assert not outcome.off, "it is not"
    assert clock.now == 1005
    assert not device.commands


def test_silence_is_no_proof_also_where_a_message_would_be() -> None:
    clock = Clock()
    assert fence(clock, [], FakeDevice(clock), accept=True).level == 2


def test_a_crash_kernel_refuses_connections_but_what_answers_lives() -> None:
    assert fence(Clock(), beats(1), accept=True, probe="refused").level == 1
    outcome = fence(Clock(), beats(1), accept=True, probe="answers")
    assert (outcome.level, outcome.alive) == (None, ["tcp://192.0.2.13:22"])


def test_a_refusal_after_the_power_off_is_life_as_ever_although_a_dump_was_written_before() -> None:
    clock = Clock()
    assert fence(clock, beats(1), FakeDevice(clock), probe="refused").level is None


def test_a_run_that_lost_its_claim_listens_no_longer_and_cuts_nothing() -> None:
    clock = Clock()
    device = FakeDevice(clock)

    def lose() -> None:
        if clock.now > 1020:
            raise LeaseLost("run 7 holds cmp03 now")

    with pytest.raises(LeaseLost):
        fence(clock, beats(*range(5, 1000, 10)), device, while_waiting=lose)
    assert clock.now < 1023
    assert not device.commands


def test_a_port_that_is_taken_is_told_and_the_next_level_goes_on() -> None:
    def taken(*where: t.Any) -> t.Any:
        raise FencingError("cannot listen at UDP any address port 7410: Address already in use")

    clock = Clock()
    world = fake_world(clock, listen=taken)
    levels = [*parse_levels([{"devices": [KDUMP]}, {"devices": [BMC]}], world)[:1], level(FakeDevice(clock), number=2)]
    outcome = Fencing("cmp03", {}, world).run(levels)
    assert outcome.level == 2
    assert "already in use" in outcome.evidence[0]["error"]


@pytest.mark.parametrize(("accept", "found"), [(False, None), (True, 1)])
def test_a_dry_run_does_not_wait(accept: bool, found: int | None) -> None:
    clock = Clock()
    network = Network(clock, beats(1))
    world = fake_world(clock, listen=network.listen)
    levels: list[Level] = parse_levels([{"devices": [{**KDUMP, "accept": accept}]}, {"devices": [BMC]}], world)[:1]
    outcome = Fencing("cmp03", {}, world, dry=True).run(levels)
    assert outcome.level == found
    assert clock.now == 1000
    assert network.opened == [([HOST], 7410, [])], "but whether it could listen is known"


def test_a_level_has_time_for_a_dump_by_default() -> None:
    (listening, _bmc) = parse_levels([{"devices": [KDUMP]}, {"devices": [BMC]}], fake_world())
    assert listening.timeout == 300
    assert isinstance(listening.alone, Kdump)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([{"devices": [{"method": "kdump"}]}], r"levels\[0\]\.devices\[0\]: method kdump: missing .*from"),
        ([{"devices": [{**KDUMP, "from": []}]}], r"devices\[0\]\.from: must name at least one"),
        ([{"devices": [{**KDUMP, "from": ["cmp03"]}]}], r"devices\[0\]\.from: must be IP addresses, not 'cmp03'"),
        ([{"devices": [{**KDUMP, "listen": ["any"]}]}], r"devices\[0\]\.listen: must be IP addresses"),
        ([{"devices": [{**KDUMP, "port": 0}]}], r"devices\[0\]\.port: must be from 1"),
        ([{"devices": [{**KDUMP, "quiet": 0}]}], r"devices\[0\]\.quiet: .*greater than 0"),
        ([{"devices": [{**KDUMP, "first": "inf"}]}], r"devices\[0\]\.first: .*greater than 0"),
        ([{"devices": [{**KDUMP, "quite": 3}]}], r"devices\[0\]\.quite: .*Did you mean 'quiet'"),
        ([{"tries": 2, "devices": [KDUMP]}], r"levels\[0\]\.tries: is not an option of a level with the method kdump"),
        ([{"devices": [BMC]}, {"devices": [KDUMP]}], r"levels\[1\]\.devices\[0\]: kdump proves nothing .* must follow"),
        ([{"devices": [BMC, KDUMP]}], r"levels\[0\]\.devices\[1\]: kdump must stand alone"),
        ([{"devices": [KDUMP, BMC]}], r"devices"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(levels: t.Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate_levels(levels, "levels")


def test_an_address_may_still_be_a_template_when_it_is_written_down() -> None:
    given = [{"devices": [{**KDUMP, "from": ["{{ ansible_host }}"], "accept": "{{ trust }}"}]}]
    validate_levels(given, "fencing")
