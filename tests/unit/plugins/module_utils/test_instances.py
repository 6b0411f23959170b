from __future__ import annotations

import copy
import datetime
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import question
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances import (
    GATES,
    INPUTS,
    decide,
    server_facts,
    storage_suspects,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import SCHEMA, defaults

Json = t.Dict[str, t.Any]

HOST, VM = "cmp01", "vm-1"
PLACE = f"{HOST}/{VM}"


def snapshot(word: str = "crashed", **about: t.Any) -> Json:
    """One VM of a healthy host that has just failed."""
    return {
        "caller": "responder",
        "orders": [],
        "segments": {"rack1": {"protect": True, "priority": 500, "allow_local_disk_loss": False}},
        "hosts": {
            HOST: {
                "segment": "rack1", "known": True, "maintenance": "", "status": "enabled", "disabled_reason": None,
                "forced_down": False, "nova_state": "up", "heard": True, "host_incident": None, "host_run": False,
            }
        },
        "places": {
            PLACE: {
                "host": HOST, "object": VM, "type": f"openstack_ha.instance.{word}", "state": "failed",
                "reason": "it says so", "data": {}, "age": 1.0, "history": [], "attempts": 0, "facts": facts(),
                "server": server(), **about,
            }
        },
    }  # fmt: skip


def facts(**more: t.Any) -> Json:
    return {
        "id": VM, "name": "web", "project": {"id": "p", "name": "p"}, "user_id": "u", "region": "RegionOne",
        "cell": None, "zone": "nova", "aggregates": [], "flavor": {"name": "m", "extra_specs": {}},
        "image": {"id": "i", "name": "i", "properties": {}}, "metadata": {}, "tags": [], "boot_from_volume": True,
        "local_disk": False, "segment": "rack1", **more,
    }  # fmt: skip


def server(**more: t.Any) -> Json:
    found = {"host": HOST, "vm_state": "active", "task_state": None, "power_state": 1, "locked": False}
    return {**found, "updated_age": 10.0, **more}


def policy(**instances: t.Any) -> Json:
    made = defaults()
    for key, value in instances.items():
        made["instances"][key] = {**made["instances"][key], **value} if isinstance(value, dict) else value
    return made


def verdict(seen: Json, rules: Json | None = None) -> Json:
    return decide(seen, rules or defaults())[PLACE]


def said(seen: Json, rules: Json | None = None) -> tuple[str, str | None]:
    found = verdict(seen, rules)
    return found["verdict"], found["gate"]


@pytest.mark.parametrize("word", ["crashed", "stopped", "panicked", "io_error", "guest_silent"])
def test_a_vm_that_has_failed_on_a_host_that_lives_is_restarted_there(word: str) -> None:
    found = verdict(snapshot(word))
    assert (found["verdict"], found["gate"], found["reaction"]) == ("recover", None, "recover")
    assert [it["gate"] for it in found["gates"]] == [gate.name for gate in GATES]
    assert found["priority"] == 500


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"server": None}, ("hold", "known")),
        ({"server": {}}, ("ignore", "known")),
        ({"server": server(host="cmp02")}, ("ignore", "known")),
        ({"state": "ok"}, ("ignore", "trouble")),
        ({"server": server(vm_state="paused")}, ("alert", "owner")),
        ({"server": server(vm_state="rescued")}, ("alert", "owner")),
        ({"server": server(vm_state="resized")}, ("alert", "owner")),
        ({"server": server(vm_state="suspended")}, ("ignore", "owner")),
        ({"server": server(vm_state="building")}, ("ignore", "owner")),
        ({"server": server(vm_state="shelved_offloaded", host=None)}, ("ignore", "owner")),
        ({"server": server(vm_state="soft-delete")}, ("ignore", "owner")),
        ({"server": server(task_state="deleting")}, ("ignore", "owner")),
        ({"server": server(task_state="image_snapshot")}, ("hold", "owner")),
        ({"server": server(task_state="rebooting", updated_age=1000.0)}, ("alert", "owner")),
        ({"server": server(locked=True)}, ("alert", "owner")),
        ({"server": server(vm_state="stopped", power_state=4)}, ("recover", None)),
        ({"server": server(vm_state="error", power_state=4)}, ("recover", None)),
        ({"facts": {}}, ("hold", "protected")),
        ({"facts": facts(metadata={"HA_Enabled": "False"})}, ("ignore", "protected")),
        ({"facts": facts(metadata={"openstack_ha:method": "none"})}, ("ignore", "protected")),
        ({"facts": facts(metadata={"openstack_ha:method": "notify"})}, ("alert", "protected")),
        ({"facts": facts(metadata={"openstack_ha:method": "heat"})}, ("alert", "protected")),
        ({"facts": facts(metadata={"openstack_ha:method": "rebuild"})}, ("recover", None)),
    ],
)
def test_what_its_owner_or_nova_does_goes_first(about: Json, expected: tuple[str, str | None]) -> None:
    assert said(snapshot(**about)) == expected


@pytest.mark.parametrize(
    "host",
    [
        {"nova_state": "down"},
        {"nova_state": None},
        {"forced_down": True},
        {"heard": False},
        {"host_run": True},
        {"host_incident": "recovering"},
        {"maintenance": "disabled: firmware"},
        {"maintenance": None},
    ],
)
def test_of_a_host_that_does_not_answer_nothing_is_begun(host: Json) -> None:
    seen = snapshot()
    seen["hosts"][HOST].update(host)
    found = verdict(seen)
    assert (found["verdict"], found["gate"]) == ("hold", "source")
    assert found["look_again"] is not None


def test_a_host_without_heartbeats_is_one_that_nova_says_is_up() -> None:
    seen = snapshot()
    seen["hosts"][HOST]["heard"] = None
    assert said(seen) == ("recover", None)


def test_a_host_that_is_not_known_is_alerted() -> None:
    seen = snapshot()
    seen["hosts"] = {}
    assert said(seen) == ("alert", "known")


def order(kind: str, scope: str, name: str | None) -> Json:
    return {
        "id": "o", "number": 3, "kind": kind, "scope": scope, "name": name, "owner": "jane", "reason": "work",
        "left": 60.0, "limits": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (order("pause", "cloud", None), ("hold", "orders")),
        (order("pause", "segment", "rack1"), ("hold", "orders")),
        (order("disarm", "host", HOST), ("ignore", "orders")),
        (order("pause", "host", "cmp02"), ("recover", None)),
        (order("budget", "cloud", None), ("recover", None)),
    ],
)
def test_an_order_beats_all_that_the_machine_knows(given_: Json, expected: tuple[str, str | None]) -> None:
    assert said({**snapshot(), "orders": [given_]}) == expected
    assert said({**snapshot(), "orders": None}) == ("hold", "orders")


@pytest.mark.parametrize(
    ("action", "configured", "expected"),
    [
        ("reset", None, "ignore"),
        ("poweroff", None, "alert"),
        ("shutdown", None, "alert"),
        ("pause", None, "recover"),
        ("none", None, "alert"),
        ("inject-nmi", None, "alert"),
        (None, "reset", "ignore"),
        (None, "pause", "recover"),
        (None, None, "alert"),
    ],
)
def test_what_a_watchdog_has_done_is_not_done_twice(action: str | None, configured: str | None, expected: str) -> None:
    specs = {"hw:watchdog_action": configured} if configured else {}
    about = facts(flavor={"name": "m", "extra_specs": specs})
    assert verdict(snapshot("watchdog", data={"action": action}, facts=about))["verdict"] == expected


def test_a_watchdog_that_does_nothing_can_be_complemented() -> None:
    seen = snapshot("watchdog", data={"action": "none"})
    assert said(seen, policy(watchdog={"none": "recover"})) == ("recover", None)


def test_the_action_of_the_image_comes_before_that_of_the_flavor_as_in_nova() -> None:
    about = facts(
        flavor={"name": "m", "extra_specs": {"hw:watchdog_action": "reset"}},
        image={"id": "i", "name": "i", "properties": {"hw_watchdog_action": "pause"}},
    )
    assert said(snapshot("watchdog", facts=about)) == ("recover", None)


def test_a_silent_guest_is_first_left_to_a_watchdog_that_would_reset_it() -> None:
    about = facts(flavor={"name": "m", "extra_specs": {"hw:watchdog_action": "reset"}})
    assert said(snapshot("guest_silent", facts=about, age=10.0)) == ("hold", "hypervisor")
    assert said(snapshot("guest_silent", facts=about, age=61.0)) == ("recover", None)


def test_an_io_error_that_its_operating_system_was_told_of_restarts_nothing() -> None:
    assert said(snapshot("io_error", data={"action": "report"})) == ("alert", "trouble")
    assert said(snapshot("io_error", data={"action": "pause"})) == ("recover", None)


def test_a_monitor_that_resumes_after_an_io_error_is_given_time() -> None:
    resumed = {"action": "pause", "resuming": True}
    held = verdict(snapshot("io_error", data=resumed, age=20.0))
    assert (held["verdict"], held["gate"], held["look_again"]) == ("hold", "resuming", 100.0)
    assert said(snapshot("io_error", data=resumed, age=121.0)) == ("recover", None)


def test_many_vms_with_io_errors_are_a_matter_of_their_host() -> None:
    seen = snapshot("io_error", data={"action": "pause"})
    for number in range(2, 4):
        seen["places"][f"{HOST}/vm-{number}"] = {**seen["places"][PLACE], "object": f"vm-{number}"}
    found = verdict(seen)
    assert (found["verdict"], found["gate"], found["reaction"]) == ("hold", "storage", "storage_suspect")
    assert list(storage_suspects(seen, defaults())) == [HOST]
    seen["hosts"][HOST]["vms"] = 100
    assert storage_suspects(seen, defaults()) == {}
    assert said(seen) == ("recover", None)


def test_after_each_recovery_the_next_is_further_off_then_it_goes_elsewhere_then_people_are_told() -> None:
    rules = policy(tries=2, back_off=10, elsewhere={"tries": 1})

    def after(*history: float) -> tuple[str, str | None, str]:
        found = verdict(snapshot(history=list(history)), rules)
        return found["verdict"], found["gate"], found["reaction"]

    assert after() == ("recover", None, "recover")
    assert after(9.0)[:2] == ("hold", "limits")
    assert after(11.0) == ("recover", None, "recover")
    assert after(15.0, 100.0)[:2] == ("hold", "limits")
    assert after(21.0, 100.0) == ("recover", None, "elsewhere")
    assert after(500.0, 600.0, 700.0)[:2] == ("alert", "limits")
    assert after(500.0, 600.0, 3700.0) == ("recover", None, "elsewhere")


def test_one_that_is_not_to_leave_its_host_is_alerted_after_its_tries() -> None:
    history = [1000.0, 1100.0, 1200.0]
    stays = facts(metadata={"openstack_ha:method": "restart"})
    assert said(snapshot(history=history, facts=stays)) == ("alert", "limits")
    assert said(snapshot(history=history), policy(then="alert")) == ("alert", "limits")
    assert verdict(snapshot(history=history))["reaction"] == "elsewhere"


def test_one_that_is_left_to_its_owner_is_recovered_after_the_deadline() -> None:
    left = facts(
        metadata={
            "openstack_ha:method": "notify",
            "openstack_ha:deadline": "300",
            "openstack_ha:otherwise": "evacuate",
        }
    )
    held = verdict(snapshot(facts=left, age=100.0))
    assert (held["verdict"], held["reaction"], held["look_again"]) == ("hold", "notify", 200.0)
    assert said(snapshot(facts=left, age=301.0)) == ("recover", None)


@pytest.mark.parametrize(
    "now", [{"host": "cmp02", "vm_state": "resized"}, {"host": None, "vm_state": "shelved_offloaded"}]
)
def test_one_that_a_run_was_moving_when_it_died_is_gone_on_with_whatever_nova_shows(now: Json) -> None:
    begun = {"state": "requested", "step": "migrate", "target": "cmp02"}
    about = {"server": server(**now), "state": "ok"}
    assert said(snapshot(begun=begun, history=[1.0] * 9, **about)) == ("recover", None)
    assert said(snapshot(begun={**begun, "step": "stop", "target": None}, **about))[0] != "recover"
    assert said(snapshot(begun={**begun, "state": "skipped"}, **about))[0] != "recover"


@pytest.mark.parametrize("state", ["failed", "pending"])
def test_a_move_that_was_in_vain_is_gone_on_with_within_the_limits(state: str) -> None:
    begun = {"state": state, "step": "confirm", "target": "cmp02"}
    about = {"server": server(host="cmp02", vm_state="resized"), "begun": begun}
    assert said(snapshot(history=[], **about)) == ("recover", None)
    assert said(snapshot(history=[1.0], **about)) == ("hold", "limits")
    assert said(snapshot(history=[700.0] * 4, **about)) == ("alert", "limits")


def test_one_that_no_target_took_is_at_home_and_has_no_privileges() -> None:
    begun = {"state": "pending", "step": "migrate", "target": "cmp02"}
    assert said(snapshot(begun=begun, server=server(vm_state="stopped"))) == ("recover", None)
    assert said(snapshot(begun=begun, server=server(vm_state="stopped", locked=True))) == ("alert", "owner")
    assert said(snapshot(begun=begun, state="ok")) == ("ignore", "trouble")


def test_one_that_a_run_has_stopped_and_not_got_up_again_is_not_well() -> None:
    begun = {"state": "failed", "step": "hard_reboot", "target": None}
    off = {"state": "ok", "type": "openstack_ha.instance.ok", "data": {"domain": {"state": "shutoff"}}}
    about = {"server": server(vm_state="error", power_state=4), **off}
    assert said(snapshot(begun=begun, **about)) == ("recover", None)
    assert said(snapshot(begun=None, **about)) == ("ignore", "trouble")
    runs = {"data": {"domain": {"state": "running"}}}
    assert said(snapshot(begun=begun, **{**about, **runs})) == ("ignore", "trouble")


def test_by_hand_limits_and_protection_are_not_asked_and_it_goes_on_elsewhere() -> None:
    unprotected = facts(metadata={"HA_Enabled": "False"})
    seen = {**snapshot("paused", history=[1.0] * 9, facts=unprotected), "caller": "operator"}
    assert verdict(seen)["reaction"] == "recover_or_elsewhere"
    assert verdict(seen, policy(then="alert"))["reaction"] == "recover"


def test_by_hand_an_order_asks_and_an_answer_is_taken() -> None:
    seen = {**snapshot(), "caller": "operator", "orders": [order("pause", "cloud", None)]}
    asked = verdict(seen)
    assert (asked["verdict"], asked["gate"]) == ("ask", "orders")
    now = {**seen, "answer": {"verdict": "recover", "operator": "jane", "reason": "it is mine"}}
    assert said(now) == ("recover", None)
    before = {"host": PLACE, "gate": "orders", "question": question("orders", asked["reason"]), "verdict": "hold"}
    held = verdict({**seen, "answers": [{**before, "by": "joe", "why": "not yet"}]})
    assert (held["verdict"], held["gate"]) == ("hold", "orders")


def test_the_record_of_nova_is_told_in_few_words() -> None:
    record = {
        "OS-EXT-SRV-ATTR:host": HOST, "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:task_state": None,
        "OS-EXT-STS:power_state": 1, "locked": True, "updated": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    now = datetime.datetime(2026, 1, 1, 0, 1, tzinfo=datetime.timezone.utc)
    assert server_facts(record, now) == server(locked=True, updated_age=60.0)
    assert server_facts(None) == {}


def test_what_gates_look_at_exists_in_the_policy_and_among_the_inputs() -> None:
    for gate in GATES:
        assert set(gate.inputs) <= set(INPUTS), gate.name
        for path in gate.settings:
            here = SCHEMA
            for key in path.split("."):
                here = here["properties"][key]


_WORDS = ["crashed", "stopped", "panicked", "io_error", "watchdog", "guest_silent", "paused", "unheard_of"]
_STATES = ["active", "stopped", "error", "paused", "deleted", "shelved", "resized", None]


@given(
    word=st.sampled_from(_WORDS),
    data=st.dictionaries(st.sampled_from(["action", "resuming"]), st.sampled_from(["pause", "reset", "none", True])),
    vm_state=st.sampled_from(_STATES),
    task=st.sampled_from([None, "rebooting", "deleting"]),
    host=st.fixed_dictionaries(
        {},
        optional={
            "nova_state": st.sampled_from(["up", "down", None]),
            "forced_down": st.sampled_from([True, False, None]),
            "heard": st.sampled_from([True, False, None]),
            "maintenance": st.sampled_from(["", "work", None]),
            "host_run": st.booleans(),
        },
    ),
    history=st.lists(st.floats(0, 7200), max_size=8),
    by_hand=st.booleans(),
)
@examples(200)
def test_nothing_is_begun_unless_the_host_answers_and_nova_is_at_nothing(
    word: str,
    data: Json,
    vm_state: str | None,
    task: str | None,
    host: Json,
    history: list[float],
    by_hand: bool,
) -> None:
    seen = snapshot(word, data=data, history=history, server=server(vm_state=vm_state, task_state=task))
    seen["hosts"][HOST].update(host)
    seen["caller"] = "operator" if by_hand else "responder"
    before = copy.deepcopy(seen)
    found = verdict(seen)
    assert seen == before
    assert found == verdict(seen)
    if found["verdict"] != "recover":
        assert found["gate"]
        assert found["reason"]
        return
    about = seen["hosts"][HOST]
    assert (about["nova_state"], about["maintenance"], task) == ("up", "", None)
    assert about["heard"] is not False
    assert not about["forced_down"]
    assert vm_state in ("active", "stopped", "error")
    rules = defaults()["instances"]
    recent = [age for age in history if age < rules["within"]]
    assert by_hand or len(recent) < rules["tries"] + rules["elsewhere"]["tries"]
