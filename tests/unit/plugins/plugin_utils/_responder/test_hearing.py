from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import hearing
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import Changes, Hearing

HOSTS = ("cmp01", "cmp02", "cmp03")
NETWORKS = ("admin", "storage")


class Ear:
    """A hearing of which the time passes as a test says."""

    def __init__(self, networks: t.Sequence[str] = NETWORKS, silence: float = 2.5) -> None:
        self.now = 100.0
        self.hearing = Hearing(networks, silence, self.now)

    def all_beat(self, *but: tuple[str, str]) -> None:
        for host in HOSTS:
            for network in self.hearing.networks:
                if (host, network) not in but:
                    self.hearing.beat(host, network, False, 1000.0)

    def wait(self, seconds: float, *but: tuple[str, str], beat: bool = True) -> list[Changes]:
        """So many seconds pass; all beat twice a second but for these places."""
        found = []
        for number in range(round(seconds * 10)):
            if beat and number % 5 == 0:
                self.all_beat(*but)
            self.now += 0.1
            found.append(self.hearing.tick(self.now))
        return found

    def word(self, host: str) -> str:
        return self.hearing.look().word(host)


DEAD = (("cmp01", "admin"), ("cmp01", "storage"))


def test_a_host_that_was_never_heard_is_not_known() -> None:
    ear = Ear()
    ear.wait(10, beat=False)
    assert ear.word("cmp01") == "unknown"
    assert ear.hearing.look().watching_for == ear.now - 100


def test_a_pulled_plug_is_noticed_after_the_silence_and_announced_at_half_of_it() -> None:
    ear = Ear()
    ear.wait(5)
    began = ear.now
    late = lost = None
    while lost is None:
        ear.all_beat(*DEAD)
        ear.now += 0.1
        changes = ear.hearing.tick(ear.now)
        late = ear.now - began if late is None and "cmp01" in changes.late else late
        lost = ear.now - began if ("cmp01", "admin") in changes.lost else None
    assert late is not None
    assert 0.7 < late < 1.4
    assert 1.9 < lost < 2.7
    ear.wait(0.5, *DEAD)
    assert [ear.word(host) for host in HOSTS] == ["down", "up", "up"]


def test_a_host_that_is_heard_on_one_network_lives_and_has_lost_the_other() -> None:
    ear = Ear()
    ear.wait(5)
    ear.wait(5, ("cmp01", "storage"))
    heard = ear.hearing.look()
    assert heard.word("cmp01") == "up"
    assert (heard.on("cmp01", "storage"), heard.on("cmp01", "admin")) == ("lost", "alive")


def test_who_hears_nobody_is_cut_off_itself_and_says_nothing() -> None:
    ear = Ear()
    ear.wait(5)
    ear.wait(5, beat=False)
    heard = ear.hearing.look()
    assert [heard.word(host) for host in HOSTS] == ["unknown"] * 3
    assert [heard.raw(host) for host in HOSTS] == ["down"] * 3, "for the gate that asks whether everything is silent"
    assert heard.isolated == {"admin", "storage"}


def test_who_hears_nobody_on_one_network_says_nothing_about_that_one() -> None:
    ear = Ear()
    ear.wait(5)
    ear.wait(5, *[(host, "storage") for host in HOSTS])
    heard = ear.hearing.look()
    assert heard.on("cmp01", "storage") == "unknown"
    assert heard.word("cmp01") == "up"


def fail_in_turn(ear: Ear, *places: tuple[str, str]) -> list[list[tuple[str, str]]]:
    """One place after the other falls silent, 0.4 s apart; what each tick says to be lost."""
    ear.wait(5)
    gone: list[tuple[str, str]] = []
    told = []
    for number in range(60):
        if number % 4 == 0 and places[len(gone) :]:
            gone.append(places[len(gone)])
        told += ear.wait(0.1, *gone, beat=False)
        if number % 5 == 0:
            ear.all_beat(*gone)
    return [changes.lost for changes in told if changes.lost]


def test_a_network_that_fails_is_never_taken_for_the_host_that_happens_to_be_silent_first() -> None:
    ear = Ear()
    seen = set()

    def look(tick: t.Callable[[float], Changes] = ear.hearing.tick) -> t.Callable[[float], Changes]:
        def looked(now: float) -> Changes:
            changes, heard = tick(now), ear.hearing.look()
            seen.update(heard.on(host, "storage") for host in HOSTS)
            return changes

        return looked

    ear.hearing.tick = look()  # type: ignore[method-assign]
    assert [sorted(lost) for lost in fail_in_turn(ear, *[(host, "storage") for host in HOSTS])] == [
        [(host, "storage") for host in HOSTS]
    ]
    assert seen == {"unknown", "alive"}
    assert ear.hearing.look().isolated == {"storage"}


def test_hosts_that_fail_together_are_lost_together() -> None:
    ear = Ear(networks=("admin",))
    assert fail_in_turn(ear, ("cmp01", "admin"), ("cmp02", "admin")) == [[("cmp01", "admin"), ("cmp02", "admin")]]
    assert [ear.word(host) for host in HOSTS] == ["down", "down", "up"]


def test_hosts_that_are_always_late_do_not_keep_a_dead_one_alive() -> None:
    ear = Ear(networks=("admin",))
    ear.wait(5)
    lost = []
    for number in range(80):
        if number % 6 == 0:
            ear.hearing.beat(f"cmp{10 + number // 6 % 4}", "admin", False, 1.0)
        (changes,) = ear.wait(0.1, beat=False)
        lost += [number / 10] if ("cmp01", "admin") in changes.lost else []
    assert len(lost) == 1
    assert 4 < lost[0] < 5.1


def test_a_host_that_is_heard_again_is_news() -> None:
    ear = Ear()
    ear.wait(5)
    ear.wait(5, *DEAD)
    ear.hearing.beat("cmp01", "admin", False, 3.0)
    assert ear.hearing.tick(ear.now).back == [("cmp01", "admin")]
    assert not ear.hearing.tick(ear.now)
    assert ear.word("cmp01") == "up"
    ear.now += 2
    ear.hearing.tick(ear.now)
    assert ear.hearing.look().up_for["cmp01"] == 5.0, "what it said of itself, and the time since"


def test_while_this_process_was_stopped_nobody_was_silent() -> None:
    ear = Ear()
    ear.wait(5)
    ear.now += 3600
    assert ear.hearing.tick(ear.now).lost == []
    assert ear.word("cmp01") == "up"
    ear.wait(3, beat=False)
    assert ear.hearing.look().raw("cmp01") == "down"


def test_a_clock_that_goes_back_changes_nothing() -> None:
    ear = Ear()
    ear.wait(5)
    assert not ear.hearing.tick(ear.now - 1000)
    assert ear.word("cmp01") == "up"


def test_beats_of_other_networks_are_not_heard() -> None:
    ear = Ear(networks=("admin",))
    ear.hearing.beat("cmp01", "tenant", False, 1.0)
    ear.hearing.tick(ear.now)
    assert ear.word("cmp01") == "unknown"


def test_who_was_heard_by_a_former_process_is_missed_by_this_one() -> None:
    first, second = Ear(), Ear()
    first.wait(5, *DEAD)
    first.wait(3, *DEAD, ("cmp02", "admin"))
    view = first.hearing.look().view([*HOSTS, "cmp04"])
    places = hearing.expected(view, [*HOSTS, "cmp04"])
    assert sorted(places) == [("cmp02", "admin"), ("cmp02", "storage"), ("cmp03", "admin"), ("cmp03", "storage")]
    second.hearing.expect([*places, ("cmp03", "no such network")])
    second.wait(5, *DEAD, ("cmp02", "admin"), ("cmp02", "storage"))
    assert [second.word(host) for host in HOSTS] == ["unknown", "down", "up"]


def test_a_view_says_to_others_what_is_heard_here() -> None:
    ear = Ear()
    ear.wait(5)
    ear.wait(5, ("cmp01", "storage"), *[(host, "admin") for host in HOSTS])
    view = ear.hearing.look().view([*HOSTS, "cmp09"])
    assert hearing.said(view, "cmp01") == {"admin": "unknown", "storage": "lost"}
    assert hearing.said(view, "cmp02") == {"admin": "unknown", "storage": "alive"}
    assert hearing.said(view, "cmp09") == {"admin": "unknown", "storage": "unknown"}
    assert hearing.word(hearing.said(view, "cmp01")) == "down"
    assert hearing.said({}, "cmp01") == {}
    assert hearing.word({}) == "unknown"


def test_armed_agents_are_told_until_their_sighting_is_journaled() -> None:
    ear = Ear()
    ear.hearing.beat("cmp01", "admin", True, 1.0)
    ear.hearing.beat("cmp02", "admin", False, 1.0)
    assert ear.hearing.look().armed == {"cmp01": True, "cmp02": False}
    ear.hearing.sighted(["cmp01"])
    assert ear.hearing.look().armed == {"cmp02": False}
    ear.hearing.beat("cmp01", "storage", False, 1.0)
    assert ear.hearing.look().armed["cmp01"] is False


def test_a_crash_kernel_is_remembered_until_its_host_is_heard_again() -> None:
    ear = Ear()
    assert ear.hearing.dump("cmp01")
    ear.wait(4, beat=False)
    assert not ear.hearing.dump("cmp01")
    ear.wait(1, beat=False)
    dump = ear.hearing.look().kdump["cmp01"]
    assert (round(dump["for"], 3), round(dump["last"], 3)) == (5.0, 1.0)
    ear.hearing.beat("cmp01", "admin", False, 1.0)
    assert ear.hearing.look().kdump == {}


def test_when_a_switch_returns_the_hosts_that_are_heard_last_are_not_the_broken_ones() -> None:
    ear = Ear()
    cut = tuple((host, "storage") for host in HOSTS)
    ear.wait(5)
    ear.wait(10, *cut)
    ear.wait(1, *cut[:1])  # all are back but cmp01
    seen = ear.hearing.look()
    assert (seen.on("cmp01", "storage"), seen.on("cmp02", "storage")) == ("unknown", "alive")
    assert hearing.said(seen.view(HOSTS), "cmp01") == {"admin": "alive", "storage": "unknown"}
    assert seen.seems_lost("cmp01", "storage")
    ear.wait(5, *cut[:1])
    assert ear.hearing.look().on("cmp01", "storage") == "lost"
    assert hearing.said(ear.hearing.look().view(HOSTS), "cmp01") == {"admin": "alive", "storage": "lost"}
