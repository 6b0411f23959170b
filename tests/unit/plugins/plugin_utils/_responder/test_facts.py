from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.facts import Scene
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import Heard
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.sources import Services

HOSTS = ("cmp01", "cmp02", "cmp03", "cmp04")
NETWORKS = ("admin", "storage")
PROBE = "tcp://192.0.2.1:22"


def site(networks: bool = True) -> Site:
    topology = {
        "segments": {"rack1": {}},
        "hosts": {
            host: {"segment": "rack1", "role": "active", "failure_domain": None, "fencing_levels": 1, "probe": [PROBE]}
            for host in HOSTS
        },
    }
    policy = defaults()
    if networks:
        policy["networks"] = {name: {"isolation_addresses": []} for name in NETWORKS}
        policy["reactions"] = [
            {"lost": [*NETWORKS], "alive": [], "reaction": "recover"},
            {"lost": ["storage"], "alive": [], "reaction": "recover"},
            {"lost": ["admin"], "alive": [], "reaction": "alert"},
        ]
    return Site(topology, policy, "p", "s")


def heard(**lost: str) -> Heard:
    """All is heard but for these networks of these hosts: ``cmp01="admin storage"``; ``nobody`` is heard on some."""
    isolated = frozenset(lost.pop("nobody", "").split())
    states: dict[str, dict[str, str]] = {network: dict.fromkeys(HOSTS, "alive") for network in NETWORKS}
    for host, networks in lost.items():
        for network in networks.split():
            states[network][host] = "lost"
    for network in isolated:
        states[network] = dict.fromkeys(HOSTS, "lost")
    return Heard(NETWORKS, states, isolated, {}, {"cmp01": 7200.0}, {}, 3600.0)


def services(down: t.Container[str] = (), **more: t.Any) -> Services:
    computes = [
        {
            "binary": "nova-compute", "host": host, "state": "down" if host in down else "up", "status": "enabled",
            "forced_down": False, "disabled_reason": None, "updated_at": None, **more,
        }
        for host in HOSTS
    ]  # fmt: skip
    control = [{"binary": it, "host": "ctl", "state": "up"} for it in ("nova-conductor", "nova-scheduler")]
    return Services([*computes, *control], True)


def scene(**more: t.Any) -> Scene:
    given: dict[str, t.Any] = {
        "name": "ctl1", "responders": ["ctl1"], "site": site(), "heard": heard(), "services": services(), **more,
    }  # fmt: skip
    return Scene(**given)


def word(host: str, state: str, age: float = 1.0, reporter: str = "reporter:pacemaker", **more: t.Any) -> t.Any:
    base = {"host": host, "kind": "host", "object": "", "state": state, "reporter": reporter, "repeat_age": age}
    return {**base, **more}


def observer(name: str, age: float = 1.0, **lost: list[str]) -> t.Any:
    view = {
        "interval": 2.0,
        "networks": {network: {"hears": 3, "lost": lost.get(network, []), "unknown": []} for network in NETWORKS},
    }
    return {"name": name, "age": age, "view": view}


DEAD = "admin storage"


def test_when_all_are_heard_nobody_is_suspected() -> None:
    assert scene().suspects(()) == []


@pytest.mark.parametrize(
    "why",
    [
        {"heard": heard(cmp01=DEAD)},
        {"heard": heard(cmp01="storage")},
        {"services": services(down=["cmp01"])},
        {"words": [word("cmp01", "failed")]},
        {"words": [word("cmp01", "failed", 2.0, "host:cmp01", kind="network", object="storage")]},
        {"cut": {"cmp01", "unknown"}},
        {"ailing": {"cmp01"}},
    ],
)
def test_a_host_is_suspected_for_each_of_these_reasons(why: dict[str, t.Any]) -> None:
    it = scene(**why)
    assert it.suspects(()) == ["cmp01"]
    assert it.suspects({"cmp01"}) == []
    assert it.suspects((), ["cmp04"]) == ["cmp01", "cmp04"]


def test_vms_that_cannot_read_their_disks_speak_about_the_storage_of_their_host_alone() -> None:
    it = scene(cut={"cmp01"}, heard=heard(cmp01="storage"))
    assert it.networks("cmp01")["storage"] == {"state": "lost", "lost": ["ctl1", "instances"], "alive": []}
    assert it.networks("cmp01")["admin"]["lost"] == []
    assert it.networks("cmp02")["storage"]["lost"] == []


def test_a_lost_network_that_the_policy_does_not_name_makes_nobody_suspected() -> None:
    assert scene(site=site(networks=False), heard=heard(cmp01="storage")).suspects(()) == []


def test_a_nova_that_does_not_answer_makes_nobody_suspected() -> None:
    assert scene(services=Services(services(down=["cmp01"]).found, False)).suspects(()) == []


def test_witnesses_are_responders_reporters_nova_and_probes() -> None:
    it = scene(
        responders=["ctl1", "ctl2", "ctl3", "ctl4"],
        heard=heard(cmp01=DEAD),
        observers=[
            observer("ctl2", admin=["cmp01"], storage=["cmp01"]),
            observer("ctl3"),
            observer("ctl4", age=6.1, admin=["cmp01"], storage=["cmp01"]),
            observer("stranger", admin=["cmp01"], storage=["cmp01"]),
        ],
        words=[word("cmp01", "failed")],
    )
    snapshot = it.snapshot(["cmp01"], {PROBE: "silent"}, {"cmp01": 12.0})
    facts = snapshot["hosts"]["cmp01"]
    assert facts["witnesses"] == {
        "ctl1": "down", "ctl2": "down", "ctl3": "up", "ctl4": "unknown", "pacemaker": "down", "nova": "up",
        "probe": "down",
    }  # fmt: skip
    assert (facts["suspected_for"], facts["silent"], facts["up_for"]) == (12.0, True, None)
    assert snapshot["responders"] == 4
    assert snapshot["hosts"]["cmp02"]["silent"] is False
    assert facts["networks"]["admin"] == {"state": "alive", "lost": ["ctl1", "ctl2"], "alive": ["ctl3"]}


def test_a_dead_host_is_recovered_by_what_one_responder_and_a_probe_say() -> None:
    it = scene(heard=heard(cmp01=DEAD))
    assert verdict(it) == ("recover", None)


def verdict(it: Scene, probe: str = "silent", **more: t.Any) -> tuple[str, str | None]:
    nothing = {"in_flight": [], "fences": [], "orders": [], "storm": {"silent_for": None, "ended_ago": None}}
    snapshot = it.snapshot(["cmp01"], {PROBE: probe}, {"cmp01": 1.0})
    snapshot["hosts"]["cmp01"]["recoveries"] = 0
    found = _gates.decide({**snapshot, **nothing, "answers": [], **more}, it.site.policy)["cmp01"]
    return found["verdict"], found["gate"]


def test_a_host_that_answers_is_not_recovered() -> None:
    assert verdict(scene(heard=heard(cmp01=DEAD)), "answers") == ("hold", "witnesses")


def test_a_responder_that_hears_nobody_decides_nothing() -> None:
    it = scene(heard=heard(nobody=DEAD))
    assert it.witnesses("cmp01") == {"ctl1": "unknown"}
    assert verdict(it) == ("hold", "everything_stale")


def test_where_nothing_is_listened_to_reporters_and_nova_are_the_witnesses() -> None:
    deaf = Heard((), {}, frozenset(), {}, {}, {}, 3600.0)
    it = scene(site=site(networks=False), heard=deaf, words=[word("cmp01", "failed", reporter="reporter:masakari")])
    assert it.witnesses("cmp01") == {"masakari": "down"}
    assert verdict(it) == ("recover", None)
    assert verdict(it, "answers") == ("hold", "witnesses")


@pytest.mark.parametrize(
    ("state", "age", "says"),
    [
        ("failed", 899.0, "down"), ("failed", 901.0, "unknown"), ("ok", 59.0, "up"), ("ok", 61.0, "unknown"),
        ("unknown", 1.0, "unknown"), ("failed", None, "unknown"),
    ],
)  # fmt: skip
def test_the_word_of_a_reporter_counts_for_some_time(state: str, age: t.Any, says: str) -> None:
    assert scene(words=[word("cmp01", state, age)]).reporters("cmp01") == {"pacemaker": says}


def test_of_one_reporter_the_last_word_counts_whatever_its_source() -> None:
    words = [word("cmp01", "failed", 20.0), word("cmp01", "ok", 10.0), word("cmp01", "failed", 30.0)]
    assert scene(words=words).reporters("cmp01") == {"pacemaker": "up"}
    assert scene(words=words[::-1]).reporters("cmp01") == {"pacemaker": "up"}


def test_two_reporters_are_two_witnesses() -> None:
    words = [word("cmp01", "failed"), word("cmp01", "failed", reporter="reporter:masakari")]
    assert scene(words=words).reporters("cmp01") == {"pacemaker": "down", "masakari": "down"}


def test_a_host_speaks_about_its_own_networks_only_and_not_for_long() -> None:
    own = word("cmp01", "failed", 2.0, "host:cmp01", kind="network", object="storage")
    assert scene(words=[own]).networks("cmp01")["storage"]["lost"] == ["cmp01"]
    for other in (
        {**own, "repeat_age": 96.0}, {**own, "state": "ok"}, {**own, "reporter": "host:cmp02"}, {**own, "object": "x"},
    ):  # fmt: skip
        it = scene(words=[other])
        assert it.networks("cmp01")["storage"]["lost"] == []
        assert it.suspects(()) == []


def test_the_storage_network_of_one_host_is_lost_by_the_word_of_enough_responders() -> None:
    lost = heard(cmp01="storage")
    alone = scene(heard=lost)
    assert verdict(alone, "answers") == ("hold", "witnesses")
    three = scene(
        responders=["ctl1", "ctl2", "ctl3"],
        heard=lost,
        observers=[observer(name, storage=["cmp01"]) for name in ("ctl2", "ctl3")],
    )
    assert verdict(three, "answers") == ("recover", None)


def test_what_everybody_has_lost_is_a_switch_and_no_host() -> None:
    others = [observer(name) for name in ("ctl2", "ctl3")]
    for row in others:
        row["view"]["networks"]["storage"] = {"hears": 0}
    it = scene(responders=["ctl1", "ctl2", "ctl3"], heard=heard(nobody="storage"), observers=others)
    assert it.suspects(()) == []
    assert it.networks("cmp01")["storage"]["state"] == "unknown"


def test_when_nova_is_away_its_word_is_not_known() -> None:
    away = Services(services().found, False)
    it = scene(heard=heard(cmp01=DEAD), services=away)
    facts = it.snapshot(["cmp01"], {PROBE: "silent"}, {})["hosts"]["cmp01"]
    assert (facts["state"], facts["witnesses"]["nova"], facts["suspected_for"]) == (None, "unknown", 0.0)
    assert verdict(it) == ("hold", "observer")


def test_a_name_that_nobody_knows_is_for_a_person() -> None:
    it = scene(words=[word("cmp99", "failed")])
    assert it.suspects(()) == ["cmp99"]
    nothing = {"in_flight": [], "fences": [], "orders": [], "storm": {"silent_for": None, "ended_ago": None}}
    snapshot = {**it.snapshot(["cmp99"], {PROBE: "silent"}, {}), **nothing}
    assert _gates.decide(snapshot, it.site.policy)["cmp99"]["gate"] == "known_host"
