from __future__ import annotations

import functools
import typing as t

import pytest
import yaml
from unit.fakes.tasks import Tasks

from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_contract import Limits
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.modules import host_drain, recovery_run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

HOSTS = ["cmp01", "cmp02", "cmp03"]
ROOM = {"VCPU": 8, "MEMORY_MB": 8192}
Json = t.Dict[str, t.Any]


class MovingCloud(FakeCloud):
    """Moves a server as soon as it is asked to, unless the target refuses."""

    def __init__(self, nova: Nova) -> None:
        super().__init__(nova, dict.fromkeys(HOSTS, ROOM))
        self.refusing: set[str] = set()
        self.moved: list[Json] = []

    def _post_servers(self, rest: list[str], params: Json, body: Json) -> Json:
        [(action, options)] = body.items()
        server, refused = self.nova.servers[rest[0]], options and options["host"] in self.refusing
        kinds = {"os-migrateLive": "live-migration", "migrate": "migration"}
        if action == "confirmResize":
            server["OS-EXT-STS:vm_state"] = server.pop("former")
            return {}
        record = {
            "id": len(self.moved) + 1,
            "instance_uuid": rest[0],
            "migration_type": kinds[action],
            "status": "error" if refused else "completed",
            "source_compute": server["OS-EXT-SRV-ATTR:host"],
            "dest_compute": options["host"],
        }
        self.moved.append(record)
        if not refused:
            server["OS-EXT-SRV-ATTR:host"] = options["host"]
            if action == "migrate":
                server["former"], server["OS-EXT-STS:vm_state"] = server["OS-EXT-STS:vm_state"], "resized"
        return {}

    def _get_servers(self, rest: list[str], params: Json, body: Json) -> Json:
        if rest[1:2] == ["os-instance-actions"]:
            events = [{"result": "Success"}, {"result": "Error", "details": "no CPU in common"}]
            return {"instanceAction": {"message": "Error", "events": events}}
        return super()._get_servers(rest, params, body)

    def _get_os_migrations(self, rest: list[str], params: Json, body: Json) -> Json:
        return {"migrations": [it for it in self.moved if it["source_compute"] == params["source_compute"]]}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    nova = Nova(Clock(), HOSTS, [])
    nova.add("a", "cmp01")
    nova.add("b", "cmp01", "stopped")
    found = Tasks(monkeypatch, MovingCloud(nova), tmp_path)
    monkeypatch.setattr(host_drain, "connect", lambda params: found.cloud)
    monkeypatch.setattr(host_drain, "Limits", functools.partial(Limits, verify_pause=0.0, poll=0.01))
    return found


@pytest.fixture
def run_id(tasks: Tasks) -> str:
    return tasks.open("cmp01", kind="network")


def drain(tasks: Tasks, check_mode: bool = False, **args: t.Any) -> Json:
    return tasks.run(host_drain, check_mode, **{"host": "cmp01", "topology": tasks.topology, **args})


def policy(**section: t.Any) -> Json:
    found = defaults()
    found["drain"].update(section)
    return found


def test_what_runs_is_moved_and_the_ledger_knows_it(tasks: Tasks, run_id: str) -> None:
    result = drain(tasks, run_id=run_id)
    assert (result["changed"], result["counts"], result["left"]) == (True, {"verified": 1, "skipped": 1}, "")
    assert tasks.cloud.nova.servers["a"]["OS-EXT-SRV-ATTR:host"] == "cmp02"
    assert tasks.cloud.nova.servers["b"]["OS-EXT-SRV-ATTR:host"] == "cmp01"
    report = tasks.run(recovery_run, state="closed", run_id=run_id)["report"]
    assert [(it["server_id"], it["state"], it["method"]) for it in report["ledger"]] == [
        ("a", "verified", "live_migrate"),
        ("b", "skipped", "live_migrate"),
    ]
    assert [(it["host"], it["outcome"]) for it in report["hosts"]] == [("cmp01", "recovered")]
    assert {it["name"] for it in report["steps"]} >= {"drain_planned", "drained"}


def test_what_is_returned_is_what_is_documented(tasks: Tasks, run_id: str) -> None:
    documented = yaml.safe_load(host_drain.RETURN)
    result = drain(tasks, run_id=run_id)
    assert set(result) - {"changed"} == set(documented)
    assert set(result["ledger"][0]) == set(documented["ledger"]["contains"])


def test_check_mode_shows_where_they_would_go_and_asks_for_nothing(tasks: Tasks) -> None:
    result = drain(tasks, check_mode=True)
    assert result["changed"]
    assert [(it["id"], it["state"], it["target"]) for it in result["ledger"]] == [
        ("a", "planned", "cmp02"),
        ("b", "skipped", None),
    ]
    assert tasks.cloud.changes == []


def test_doing_it_again_moves_nothing_more(tasks: Tasks, run_id: str) -> None:
    drain(tasks, run_id=run_id)
    again = drain(tasks, run_id=run_id)
    assert not again["changed"]
    assert len(tasks.cloud.moved) == 1


def test_what_no_target_takes_is_partial_with_novas_words(tasks: Tasks, run_id: str) -> None:
    tasks.cloud.refusing = {"cmp02", "cmp03"}
    result = drain(tasks, run_id=run_id)
    assert result["left"] == "1 VMs could not be moved"
    assert result["ledger"][0]["reason"] == "stays on cmp01; no target took it: no CPU in common"
    assert {it["dest_compute"] for it in tasks.cloud.moved} == {"cmp02", "cmp03"}
    report = tasks.run(recovery_run, state="closed", run_id=run_id)["report"]
    assert [(it["outcome"], it["reason"]) for it in report["hosts"]] == [("partial", "1 VMs could not be moved")]


def test_the_policy_says_what_is_moved_and_how(tasks: Tasks, run_id: str) -> None:
    result = drain(tasks, run_id=run_id, policy=policy(powered_off="cold_migrate"))
    assert [(it["id"], it["method"], it["state"]) for it in result["ledger"]] == [
        ("a", "live_migrate", "verified"),
        ("b", "cold_migrate", "verified"),
    ]
    assert tasks.cloud.nova.servers["b"]["OS-EXT-STS:vm_state"] == "stopped"


@pytest.mark.parametrize(("vms", "moved"), [("protected", 0), ("all", 1)])
def test_what_is_not_protected_stays_unless_all_are_to_go(tasks: Tasks, run_id: str, vms: str, moved: int) -> None:
    tasks.cloud.nova.servers["a"]["metadata"] = {"openstack_ha:protect": "false"}
    drain(tasks, run_id=run_id, policy=policy(vms=vms))
    assert len(tasks.cloud.moved) == moved


@pytest.mark.parametrize("state", [{"state": "down"}, {"forced_down": True}])
def test_a_host_that_is_down_is_no_case_for_this(tasks: Tasks, run_id: str, state: Json) -> None:
    tasks.cloud.nova.services["cmp01"].update(state)
    with pytest.raises(RecoveryError, match="recover_host"):
        drain(tasks, run_id=run_id)
    assert tasks.cloud.changes == []


def test_no_vm_is_sent_to_a_host_that_nobody_hears(tasks: Tasks, run_id: str) -> None:
    with tasks.journal() as journal:
        journal.add_verdict(run_id, {"hosts": {"cmp02": {"heard": False}, "cmp03": {"heard": True}}}, "hash", {})
    drain(tasks, run_id=run_id)
    assert [it["dest_compute"] for it in tasks.cloud.moved] == ["cmp03"]


@pytest.mark.parametrize(("kind", "about"), [("network", ""), ("network", "tenant"), ("host", "")])
def test_no_vm_is_sent_to_a_host_that_is_no_better_off(tasks: Tasks, run_id: str, kind: str, about: str) -> None:
    with tasks.journal() as journal:
        journal.open_incident("cmp02", "RegionOne", "rack1", kind=kind, object=about)
    drain(tasks, run_id=run_id)
    assert [it["dest_compute"] for it in tasks.cloud.moved] == ["cmp03"]


def test_without_a_run_nothing_is_moved(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match="run_id"):
        drain(tasks)


def test_a_run_that_lost_its_claim_moves_nothing(tasks: Tasks, run_id: str) -> None:
    with tasks.journal() as journal:
        claims.release(journal, run_id, ["cmp01"])
    with pytest.raises(LeaseLost):
        drain(tasks, run_id=run_id)
    assert tasks.cloud.changes == []


def test_a_run_about_units_may_drain_their_host_and_says_itself_how_it_ended(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01", kind="process", objects=["libvirtd.service"])
    assert drain(tasks, run_id=run_id)["counts"]["verified"] == 1
    with tasks.journal() as journal:
        assert [it["outcome"] for it in journal.run(run_id)["hosts"]] == [None]
    tasks.run(
        recovery_run, state="done", run_id=run_id, hosts=["cmp01/libvirtd.service"], outcome="partial", reason="x"
    )
    report = tasks.run(recovery_run, state="closed", run_id=run_id)["report"]
    assert [(it["outcome"], it["reason"]) for it in report["hosts"]] == [("partial", "x")]
    assert [it["state"] for it in report["incidents"]] == ["partial"]
