"""Gates about one host: open, closed, and closed by missing facts; for a responder and by hand."""

from __future__ import annotations

import typing as t

import pytest
from unit.fakes.gates import DEAD, cloud, order, policy, said, verdict

NETWORKS = {"admin": {}, "storage": {}, "tenant": {}}
WATCHED = policy(networks=NETWORKS)
NOT_GIVEN = object()


def case(facts: dict[str, t.Any] | None = None, by_hand: bool = False, **more: t.Any) -> dict[str, t.Any]:
    """The dead host with changed facts; :data:`NOT_GIVEN` takes one away."""
    it = cloud(**more)
    if by_hand:
        it["caller"] = "operator"
        it["hosts"][DEAD]["witnesses"] = {"operator": "down", "nova": "down"}
    for name, value in (facts or {}).items():
        if value is NOT_GIVEN:
            del it["hosts"][DEAD][name]
        else:
            it["hosts"][DEAD][name] = value
    return it


def reason(snapshot: dict[str, t.Any], rules: t.Any = None) -> str:
    return str(verdict(snapshot, rules)["reason"])


@pytest.mark.parametrize(
    ("gate", "facts", "by_responder", "by_hand"),
    [
        ("known_host", {"known": False}, "alert", "alert"),
        ("known_host", {"known": NOT_GIVEN}, "alert", "alert"),
        ("known_host", {"names": ["cmp03", "cmp03.other.example"]}, "alert", "alert"),
        ("known_host", {"names": ["cmp04"]}, "alert", "alert"),
        ("known_host", {"names": []}, "alert", "alert"),
        ("known_host", {"names": NOT_GIVEN}, "alert", "alert"),
        ("segment", {"segment": None}, "alert", "alert"),
        ("segment", {"segment": NOT_GIVEN}, "alert", "alert"),
        ("maintenance", {"maintenance": "kernel update"}, "ignore", "ask"),
        ("maintenance", {"maintenance": NOT_GIVEN}, "hold", "ask"),
        ("maintenance", {"maintenance": None}, "hold", "ask"),
        ("planned", {"status": "disabled", "disabled_reason": "broken disk"}, "ask", "ask"),
        ("planned", {"status": "disabled", "disabled_reason": None}, "ask", "ask"),
        ("planned", {"status": "disabled", "role": NOT_GIVEN}, "ask", "ask"),
        ("planned", {"status": NOT_GIVEN}, "ask", "ask"),
        ("planned", {"status": None}, "ask", "ask"),
        ("kdump", {"kdump": {"last": 3.0, "for": 40.0}}, "hold", "hold"),
        ("kdump", {"kdump": {}}, "hold", "hold"),
        ("witnesses", {"witnesses": {"nova": "down"}}, "hold", "ask"),
        ("witnesses", {"witnesses": {}}, "hold", "ask"),
        ("witnesses", {"witnesses": {"nova": "down", "ctl2": "unknown"}}, "hold", "ask"),
        ("witnesses", {"witnesses": {"nova": "down", "ctl1": "down", "ctl2": "up"}}, "hold", "ask"),
        ("witnesses", {"witnesses": NOT_GIVEN}, "hold", "ask"),
        ("witnesses", {"signs_of_life": ["tcp://192.0.2.3:22"]}, "hold", "ask"),
        ("witnesses", {"signs_of_life": NOT_GIVEN}, "hold", "ask"),
        ("witnesses", {"witnesses": {"nova": "down"}, "suspected_for": 301.0}, "ask", "ask"),
        ("witnesses", {"witnesses": {"nova": "down"}, "suspected_for": NOT_GIVEN}, "hold", "ask"),
        ("flapping", {"recoveries": 3}, "ask", "ask"),
        ("flapping", {"recoveries": None}, "ask", "ask"),
        ("flapping", {"recoveries": NOT_GIVEN}, "ask", "ask"),
        ("fence_ready", {"fencing": {"levels": 0}}, "alert", "ask"),
        ("fence_ready", {"fencing": {}}, "alert", "ask"),
        ("fence_ready", {"fencing": NOT_GIVEN}, "alert", "ask"),
        ("fence_ready", {"fencing": {"levels": 1, "check": "mismatch", "said": "uuid of cmp07"}}, "ask", "ask"),
        ("budget", {"domain": NOT_GIVEN}, "ask", "ask"),
    ],
)
def test_a_gate_closes(gate: str, facts: t.Any, by_responder: str, by_hand: str) -> None:
    assert said(case(facts)) == (by_responder, gate)
    assert said(case(facts, by_hand=True) if "witnesses" not in facts else {**case(facts), "caller": "operator"}) == (
        by_hand,
        gate,
    )


@pytest.mark.parametrize(
    "facts",
    [
        {"status": "disabled", "disabled_reason": "openstack_ha: failed, run 1"},
        {"status": "disabled", "disabled_reason": "AUTO: Connection to libvirt lost: 1"},
        {"status": "disabled", "disabled_reason": "spare", "role": "reserved"},
        {"kdump": {"last": 26.0, "for": 40.0}},
        {"kdump": {"last": 1.0, "for": 300.0}},
        {"kdump": NOT_GIVEN},
        {"witnesses": {"nova": "up", "ctl1": "down", "probe": "down"}},
        {"witnesses": {"ctl1": "down", "ctl2": "down", "ctl3": "unknown"}},
        {"networks": NOT_GIVEN},
        {"recoveries": 2},
        {"fencing": {"levels": 1}},
        {"domain": None},
        {"up_for": NOT_GIVEN},
        {"last_heartbeat": NOT_GIVEN},
        {"probe": {"tcp://192.0.2.3:22": "silent"}},
    ],
)
def test_what_only_looks_like_an_objection_is_none(facts: t.Any) -> None:
    assert said(case(facts)) == ("recover", None)


# -- orders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [("cloud", None), ("segment", "rack1"), ("host", DEAD), ("galaxy", "milky way")])
@pytest.mark.parametrize(("kind", "by_responder"), [("pause", "hold"), ("disarm", "ignore")])
def test_an_order_that_covers_the_host_decides(kind: str, by_responder: str, scope: tuple[str, str | None]) -> None:
    ordered = [order(kind, *scope)]
    assert said(case(orders=ordered)) == (by_responder, "orders")
    assert said(case(orders=ordered, by_hand=True)) == ("ask", "orders")
    assert "ann" in reason(case(orders=ordered))
    assert "firmware" in reason(case(orders=ordered))


@pytest.mark.parametrize(
    "ordered",
    [
        order("pause", "segment", "rack2"),
        order("disarm", "host", "cmp04"),
        order("budget", "cloud", limits={"at_once": 5}),
    ],
)
def test_an_order_about_something_else_does_not(ordered: t.Any) -> None:
    assert said(case(orders=[ordered])) == ("recover", None)


def test_it_is_looked_at_again_when_the_last_of_the_pauses_ends() -> None:
    first, second = order(left=60.0), order(scope="segment", name="rack1", id="o2", number=2, left=600.0)
    it = verdict(case(orders=[second, first]))
    assert it["look_again"] == 600.0
    assert it["gates"][0]["inputs"]["orders"] == ["pause 1", "pause 2"]
    assert verdict(case(orders=[first, {**second, "left": None}]))["look_again"] is None


def test_a_pause_keeps_the_incident_open_where_a_disarm_would_close_it() -> None:
    assert said(case(orders=[order("disarm"), order("pause", id="o2", number=2)])) == ("hold", "orders")


def test_orders_that_cannot_be_read_stop_all() -> None:
    assert said(case(orders=None)) == ("hold", "orders")
    assert said(case(orders=None, by_hand=True)) == ("ask", "orders")


# -- planned -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", ["ask", "ignore", "alert"])
def test_policy_says_what_becomes_of_a_host_that_an_operator_had_disabled(choice: str) -> None:
    facts = {"status": "disabled", "disabled_reason": "broken disk"}
    assert said(case(facts), policy(gates__planned=choice)) == (choice, "planned")
    assert said(case(facts, by_hand=True), policy(gates__planned=choice)) == ("ask", "planned")
    assert said(case({"status": None}), policy(gates__planned=choice)) == ("ask", "planned")


# -- kdump -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dump", "look_again"),
    [({"last": 3.0, "for": 40.0}, 22.0), ({"last": 1.0, "for": 299.0}, 1.0), ({"for": 40.0}, 260.0), ({}, None)],
)
def test_a_dump_is_waited_for_until_it_is_quiet_or_its_time_is_up(dump: t.Any, look_again: float | None) -> None:
    assert verdict(case({"kdump": dump}))["look_again"] == look_again


# -- witnesses ---------------------------------------------------------------------------------------------


def test_missing_witnesses_are_waited_for_before_a_person_is_asked() -> None:
    alone = {"witnesses": {"nova": "down"}}
    it = verdict(case({**alone, "suspected_for": 100.0}))
    assert (it["verdict"], it["look_again"]) == ("hold", 200.0)
    assert verdict(case({**alone, "suspected_for": None}))["look_again"] is None
    late = verdict(case({**alone, "suspected_for": 300.0}))
    assert (late["verdict"], late["look_again"]) == ("ask", None)
    assert it["reason"] == late["reason"] == "only 1 of 2 independent witnesses say that it is down: nova"


def test_policy_names_witnesses_that_must_agree() -> None:
    rules = policy(gates__witnesses__required=["ctl1", "bmc"])
    assert said(case(), rules) == ("hold", "witnesses")
    assert reason(case(), rules).endswith("do not say that it is down: bmc")
    assert said(case(), policy(gates__witnesses__required=["ctl1"])) == ("recover", None)


def test_policy_says_how_many_witnesses_are_enough() -> None:
    assert said(case(), policy(gates__witnesses__needed=3)) == ("recover", None)
    assert said(case(), policy(gates__witnesses__needed=4)) == ("hold", "witnesses")


def test_a_majority_of_responders_is_needed_whatever_little_the_policy_asks_for() -> None:
    snapshot = case({"witnesses": {"ctl1": "down", "ctl2": "down", "nova": "down"}})
    assert said({**snapshot, "responders": 5}) == ("recover", None)
    assert said({**snapshot, "responders": 6}) == ("hold", "witnesses")
    assert "only 3 of 4 independent witnesses" in verdict({**snapshot, "responders": 6})["reason"]
    assert said({**snapshot, "responders": None}) == ("hold", "witnesses")
    assert said({**case(by_hand=True), "responders": None}) == ("recover", None)


def test_a_probe_that_answers_outweighs_all_witnesses() -> None:
    facts = {"signs_of_life": ["tcp://192.0.2.3:22"], "witnesses": dict.fromkeys("abcdef", "down")}
    assert reason(case(facts)) == "it shows signs of life: tcp://192.0.2.3:22"


# -- networks ----------------------------------------------------------------------------------------------


def on(lost: str = "", alive: str = "", unknown: str = "", by: t.Sequence[str] = ("cmp04", "ctl1")) -> dict[str, t.Any]:
    """What reporters say of each network, all the same."""
    states = {"lost": lost, "alive": alive, "unknown": unknown}
    return {name: report(state, **{state: list(by)}) for state, names in states.items() for name in names.split()}


def report(state: str, lost: t.Sequence[str] = (), alive: t.Sequence[str] = (), **_unknown: t.Any) -> dict[str, t.Any]:
    return {"state": state, "lost": list(lost), "alive": list(alive)}


@pytest.mark.parametrize(
    ("networks", "by_responder", "reaction"),
    [
        (on(lost="admin storage tenant"), "recover", "recover"),
        (on(lost="storage", alive="admin tenant"), "recover", "recover"),
        (on(lost="storage"), "recover", "recover"),
        (on(lost="admin", alive="storage tenant"), "alert", "alert"),
        (on(lost="tenant", alive="storage admin"), "alert", "migrate"),
        (on(lost="tenant admin", alive="storage"), "ask", "ask"),
        (on(lost="admin", alive="tenant"), "hold", "recover"),
        (on(alive="admin storage tenant"), "hold", "recover"),
        (on(unknown="admin storage tenant"), "hold", "recover"),
        (on(), "hold", "recover"),
    ],
)
def test_the_matrix_says_what_the_loss_of_networks_calls_for(networks: t.Any, by_responder: str, reaction: str) -> None:
    it = verdict(case({"networks": networks}), WATCHED)
    assert (it["verdict"], it["reaction"]) == (by_responder, reaction)
    assert it["gate"] == (None if by_responder == "recover" else "networks")
    if networks:
        by_hand = verdict(case({"networks": networks}, by_hand=True), WATCHED)
        assert by_hand["verdict"] == ("recover" if by_responder == "recover" else "ask")


LIVES = {"witnesses": {"ctl1": "up", "nova": "up", "probe": "up"}, "signs_of_life": ["tcp://192.0.2.3:22"]}
ENOUGH = ["cmp04", "ctl1"]


@pytest.mark.parametrize(
    "storage",
    [
        report("lost"),
        report("lost", ["ctl1"]),
        report("lost", ["ctl1", "ctl1"]),
        report("lost", ["ctl1", DEAD]),
        report("lost", ENOUGH, ["cmp05"]),
        {"state": "lost"},
        {"state": "lost", "lost": None, "alive": None},
        {"state": "lost", "lost": ENOUGH[:1], "alive": []},
    ],
)
def test_of_a_host_that_lives_no_network_is_lost_by_the_word_of_too_few(storage: t.Any) -> None:
    facts = {**LIVES, "networks": {**on(alive="admin tenant"), "storage": storage}}
    assert said(case(facts), WATCHED) == ("hold", "witnesses")
    assert reason(case(facts), WATCHED) == (
        "it shows signs of life: tcp://192.0.2.3:22; not enough reporters say that it lost: storage"
    )
    assert said(case({**facts, "signs_of_life": []}), WATCHED) == ("hold", "witnesses"), "ctl1 hears it"
    assert said(case({**facts, "networks": {**facts["networks"], "storage": report("lost", ENOUGH)}}), WATCHED) == (
        "recover",
        None,
    )


def test_how_many_reporters_it_takes_is_what_the_policy_says_of_witnesses() -> None:
    facts = {**LIVES, "networks": on(lost="storage", alive="admin tenant")}
    three = {**policy(gates__witnesses__needed=3), "networks": NETWORKS}
    assert said(case(facts), three) == ("hold", "witnesses")
    facts["networks"]["storage"]["lost"].append("cmp05")
    assert said(case(facts), three) == ("recover", None)


def test_that_many_vms_cannot_read_their_disks_is_never_enough_to_call_the_storage_lost() -> None:
    one = {**policy(gates__witnesses__needed=1), "networks": NETWORKS}
    for reporters, expected in ((["instances"], ("hold", "witnesses")), (["instances", "ctl1"], ("recover", None))):
        facts = {**LIVES, "networks": {**on(alive="admin tenant"), "storage": report("lost", reporters)}}
        assert said(case(facts), one) == expected
    two = {**policy(gates__witnesses__needed=2), "networks": NETWORKS}
    assert said(case(facts), two) == ("recover", None), "but it counts beside the word of another"


def test_each_network_of_a_host_that_lives_needs_reporters_of_its_own() -> None:
    """Without tenant and admin a person is asked; that admin is lost is one reporter's word."""
    facts = {**LIVES, "networks": {**on(lost="tenant", alive="storage"), "admin": report("lost", ["ctl1"])}}
    assert said(case(facts), WATCHED) == ("hold", "networks")
    assert reason(case(facts), WATCHED) == ("networks lost: tenant; alive: storage; what to do depends on: admin")


def test_a_report_in_another_form_tells_nothing() -> None:
    facts = {**LIVES, "networks": {"storage": "lost", "admin": "alive", "tenant": "alive"}}
    assert said(case(facts), WATCHED) == ("hold", "witnesses")
    assert said(case({"networks": {"storage": "lost", "admin": None, "tenant": {"state": "gone"}}}), WATCHED) == (
        "hold",
        "networks",
    )


def test_signs_of_life_stop_no_reaction_to_the_loss_of_some_networks() -> None:
    lives = LIVES
    lost_storage = {**lives, "networks": on(lost="storage", alive="admin tenant")}
    assert said(case(lost_storage), WATCHED) == ("recover", None)
    assert said(case(lost_storage)) == ("hold", "witnesses")
    assert said(case({**lives, "networks": on(lost="tenant", alive="admin storage")}), WATCHED) == ("alert", "networks")
    assert said(case({**lives, "networks": on(lost="storage")}), WATCHED) == ("hold", "witnesses")
    assert said(case({**lives, "networks": on(alive="admin storage tenant")}), WATCHED) == ("hold", "witnesses")


def test_by_hand_a_host_that_no_monitor_reports_on_is_the_operators_word() -> None:
    assert said(case({"networks": {}}, by_hand=True), WATCHED) == ("recover", None)
    assert said(case({"networks": NOT_GIVEN}, by_hand=True), WATCHED) == ("ask", "networks")
    assert said(case({"networks": None}), WATCHED) == ("hold", "networks")


def test_a_person_is_asked_when_the_networks_stay_unclear() -> None:
    facts = {"networks": on(lost="admin"), "suspected_for": 400.0}
    assert said(case(facts), WATCHED) == ("ask", "networks")
    assert reason(case(facts), WATCHED) == "networks lost: admin; alive: none; what to do depends on: storage, tenant"


def test_a_segment_can_have_networks_and_rules_of_its_own() -> None:
    lost = {"networks": on(lost="admin", alive="storage")}
    only = {**WATCHED, "segments": {"rack1": {"networks": ["admin", "storage"], "reactions": None}}}
    assert said(case(lost), WATCHED) == ("hold", "networks")
    assert said(case(lost), only) == ("alert", "networks")
    ignoring = [{"lost": ["admin"], "reaction": "ignore"}]
    assert said(case(lost), {**WATCHED, "segments": {"rack1": {"networks": None, "reactions": ignoring}}}) == (
        "ignore",
        "networks",
    )
    assert said(case(lost), {**WATCHED, "segments": {"rack1": {"networks": [], "reactions": None}}})[1] is None
    assert said(case(lost), {**WATCHED, "reactions": [{"lost": ["admin"], "reaction": "recover"}]})[1] is None


def test_a_case_without_a_rule_is_asked_about() -> None:
    rules = {**WATCHED, "reactions": [{"lost": ["storage"], "reaction": "recover"}]}
    it = verdict(case({"networks": on(lost="admin", alive="storage tenant")}), rules)
    assert (it["verdict"], it["gate"]) == ("ask", "networks")
    assert it["reason"] == "networks lost: admin; alive: storage, tenant; no rule says what to do"


# -- fence_ready -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fencing", "doubt"),
    [
        ({"levels": 1, "check": "ok", "age": 60.0}, ""),
        ({"levels": 1, "check": "ok", "age": 200000.0}, "no fresh result of fence_check"),
        ({"levels": 1, "check": "ok", "age": None}, "no fresh result of fence_check"),
        ({"levels": 1, "check": None}, "no fresh result of fence_check"),
        ({"levels": 1}, "no fresh result of fence_check"),
        ({"levels": 1, "check": "failed", "said": "log-in refused"}, "the last fence_check failed: log-in refused"),
    ],
)
def test_doubts_about_fencing_are_said_and_the_levels_tried_all_the_same(fencing: t.Any, doubt: str) -> None:
    it = verdict(case({"fencing": fencing}))
    assert it["verdict"] == "recover"
    assert {gate["reason"] for gate in it["gates"] if gate["gate"] == "fence_ready"} == {doubt}
