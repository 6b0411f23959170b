from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from unit.fakes.instances import HOME, OTHER, VM, Fake, Killed

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_world import RealWorld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.holder import describe
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import instance_recover

Json = t.Dict[str, t.Any]
PLACE = f"{HOME}/{VM}"


class Site:
    """One VM, the journal, and the task."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.url = f"sqlite:///{directory}/journal.db"
        self.world = Fake()

        def record(run: t.Any) -> t.Callable[[t.Any], None]:
            self.world._run = run  # type: ignore[attr-defined]
            return lambda line: RealWorld.record(t.cast(t.Any, self.world), line)

        def made(_cloud: t.Any, run: t.Any, _topology: Json, say: t.Callable[[str], None]) -> Fake:
            monkeypatch.setattr(self.world, "record", record(run))
            self.world.progress = say  # type: ignore[method-assign]
            return self.world

        monkeypatch.setattr(instance_recover, "connect", lambda _params: None)
        monkeypatch.setattr(instance_recover, "RealWorld", made)

    def journal(self) -> t.Any:
        return open_journal(self.url)

    def open(self, reaction: str = "recover", **about: t.Any) -> str:
        """A run that is to recover it."""
        said = {"type": "openstack_ha.instance.crashed", "state": "failed", "data": {"name": "web"}, **about}
        snapshot = {"places": {PLACE: said}, "hosts": {HOME: {"segment": "rack1"}}, "orders": []}
        verdict = {"verdict": "recover", "gate": None, "reason": "", "look_again": None, "reaction": reaction}
        with self.journal() as journal:
            run = _recovery.begin(journal, "R", {PLACE: "rack1"}, describe(), 60.0, lambda _said: None, "instance")
            _recovery.decide_objects(journal, run["id"], {PLACE: {**verdict, "priority": 7}}, snapshot, defaults())
        return str(run["id"])

    def run(self, run_id: str | None, check_mode: bool = False, **args: t.Any) -> Json:
        given = {"journal_url": self.url, "topology": {}, "run_id": run_id, **args}
        checked = ArgumentSpecValidator(
            instance_recover.TASK.argument_spec, **instance_recover.TASK.constraints
        ).validate(given)
        assert not checked.error_messages, checked.error_messages
        return dict(instance_recover.TASK.run(Call(checked.validated_parameters, check_mode, in_process=True)))

    def close(self, run_id: str) -> Json:
        with self.journal() as journal:
            return t.cast(Json, _recovery.finish(t.cast(Journal, journal), run_id))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Site:
    made = Site(monkeypatch, tmp_path)
    made.world.crash()
    return made


def test_the_vms_of_a_run_are_recovered_and_the_ledger_tells_how(site: Site) -> None:
    run_id = site.open()
    result = site.run(run_id)
    assert (result["changed"], result["counts"]) == (True, {"verified": 1})
    report = site.close(run_id)
    assert [it["outcome"] for it in report["hosts"]] == ["recovered"]
    assert [it["state"] for it in report["incidents"]] == ["recovered"]
    (line,) = report["ledger"]
    assert (line["method"], line["name"], line["priority"], line["facts"]["step"]) == ("restart", "web", 7, "start")


def test_what_is_returned_is_what_is_documented(site: Site) -> None:
    documented = yaml.safe_load(instance_recover.RETURN)
    result = site.run(site.open())
    assert set(result) - {"changed"} == set(documented)
    assert set(result["ledger"][0]) == set(documented["ledger"]["contains"])


def test_the_verdict_says_where_and_a_person_may_say_otherwise(site: Site) -> None:
    assert site.run(site.open("elsewhere"))["ledger"][0]["target"] == OTHER
    assert site.world.asked[0] == "stop"


def test_how_is_stronger_than_the_verdict(site: Site) -> None:
    assert site.run(site.open("elsewhere"), how="here")["ledger"][0]["method"] == "restart"


def test_what_was_held_up_is_released_and_what_was_in_vain_is_partial(site: Site) -> None:
    site.world.halt[HOME] = "cmp01 does not answer"
    run_id = site.open()
    result = site.run(run_id)
    assert (result["changed"], result["ledger"][0]["outcome"]) == (False, "held")
    report = site.close(run_id)
    assert [(it["outcome"], it["reason"]) for it in report["hosts"]] == [("held", "cmp01 does not answer")]
    assert [it["state"] for it in report["incidents"]] == ["held"]
    site.world.halt.clear()
    site.world.dies[HOME] = 1
    again = site.open()
    assert site.run(again)["ledger"][0]["outcome"] == "partial"
    assert [it["state"] for it in site.close(again)["incidents"]] == ["partial"]


def test_a_run_that_was_killed_is_continued_by_the_next(site: Site) -> None:
    site.world.kill_at = 3  # it has asked for the stop, and does not know the answer
    first = site.open()
    with pytest.raises(Killed):
        site.run(first)
    with site.journal() as journal:
        claims.release(journal, first, [PLACE])  # as whoever sees that its process is gone does
    site.world.kill_at = None
    site.world.wait(5)
    second = site.open()
    result = site.run(second)
    assert result["counts"] == {"verified": 1}
    assert site.world.asked == ["stop", "start"]


def test_who_vouches_stands_in_the_ledger(site: Site) -> None:
    site.world.monitor, site.world.words = False, {}
    run_id = site.open("elsewhere")
    assert site.run(run_id, vouched_by="jane", vouched_reason="seen")["counts"] == {"verified": 1}
    assert site.close(run_id)["ledger"][0]["facts"]["vouched_by"] == "jane: seen"


def test_check_mode_asks_nobody(site: Site) -> None:
    assert site.run(None, check_mode=True)["changed"]
    assert site.world.asked == []
