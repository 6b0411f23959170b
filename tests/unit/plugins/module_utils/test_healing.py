# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _healing
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CertificateError, CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._healing import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._heat import Resource

Json = t.Dict[str, t.Any]
LIMITS = Limits(stack_timeout=100, poll=1)


class Site:
    """A Heat whose updates take ten seconds, a Nova, a clock, and a ledger."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.stacks = {"/stacks/web/1": "CREATE_COMPLETE"}
        self.members = {"old": Resource("/stacks/web/1", "/stacks/web/1", "server")}
        self.servers: dict[str, Json] = {"old": _server("db", "cmp01", "active")}
        self.ends: dict[str, tuple[float, str]] = {}
        self.marked: set[str] = set()
        self.log: list[str] = []
        self.ledger: list[tuple[str, str]] = []
        self.outcome, self.takes = "UPDATE_COMPLETE", 10.0
        self.new = _server("db", "cmp02", "active")
        self.off = True
        self.stopped = ""
        self.trouble: dict[str, list[CloudError]] = {}

    # -- the world ------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.clock

    def wait(self, seconds: float) -> None:
        self.clock += seconds
        assert self.clock < 10000

    def permit(self, host: str) -> None:
        if not self.off:
            raise CertificateError(f"{host} shows life")
        self.log.append(f"permit {host}")

    def paused(self, _host: str) -> str:
        return self.stopped

    def heat(self, _project: str) -> Site:
        self._fail("heat")
        return self

    def server(self, server_id: str) -> Json | None:
        return self.servers.get(server_id)

    def let_go(self, line: Line) -> None:
        self.log.append(f"let go {line.name}")

    def record(self, line: Line) -> None:
        self.ledger.append((line.state, line.reason))
        self.log.append(line.state)

    def progress(self, message: str) -> None:
        pass

    # -- Heat -----------------------------------------------------------------------------------------------------

    def find(self, server_ids: t.Collection[str]) -> dict[str, Resource]:
        return {server: it for server, it in self.members.items() if server in server_ids}

    def server_of(self, resource: Resource) -> str | None:
        return next((server for server, it in self.members.items() if it == resource), None)

    def status(self, root: str) -> tuple[str, str]:
        self._fail("status")
        end = self.ends.get(root)
        if end and self.clock < end[0]:
            return "UPDATE_IN_PROGRESS", "started"
        return (end[1] if end else self.stacks[root]), "as told"

    def mark_unhealthy(self, resource: Resource, reason: str) -> None:
        self.log.append(f"mark {resource.name}: {reason}")
        self.marked.add(t.cast(str, self.server_of(resource)))

    def update(self, root: str) -> str:
        self.log.append("update")
        self._fail("update")
        self.ends[root] = (self.clock + self.takes, self.outcome)
        if self.outcome == "UPDATE_COMPLETE":
            for old in sorted(it for it in self.marked if it in self.members and self.members[it].root == root):
                self.members[f"new-{old}"] = self.members.pop(old)
                self.servers[f"new-{old}"] = self.new
        self._fail("after update")
        return "req-1"

    def _fail(self, where: str) -> None:
        if self.trouble.get(where):
            raise self.trouble[where].pop(0)


def _server(name: str, host: str, state: str) -> Json:
    return {"name": name, "OS-EXT-SRV-ATTR:host": host, "OS-EXT-STS:vm_state": state}


def line(server: str = "old", **more: t.Any) -> Line:
    return Line(**{"id": server, "name": "db", "host": "cmp01", "project": "p1", **more})


def heal(site: Site, *lines: Line) -> list[tuple[str, str]]:
    _healing.heal(site, lines, LIMITS)
    return [(it.state, it.reason) for it in lines]


@pytest.fixture
def site() -> Site:
    return Site()


def test_intent_claim_and_proof_come_before_each_call_and_the_new_server_is_seen_up_elsewhere(site: Site) -> None:
    vm = line()
    assert heal(site, vm) == [("verified", "replaced by db (new-old), server of stack web")]
    assert site.log == [
        "requesting", "permit cmp01", "mark server: openstack_ha: host cmp01 failed", "permit cmp01", "let go db",
        "permit cmp01", "update", "requested", "landed", "verified",
    ]  # fmt: skip
    assert (vm.target, vm.request_id) == ("cmp02", "req-1")


def test_the_vms_of_a_stack_are_replaced_by_one_update(site: Site) -> None:
    site.members["two"] = Resource("/stacks/web/1", "/stacks/web-nested/2", "1")
    assert [state for state, _reason in heal(site, line(), line("two"))] == ["verified", "verified"]
    assert site.log.count("update") == 1


def test_stacks_are_updated_at_the_same_time(site: Site) -> None:
    site.stacks["/stacks/app/2"] = "UPDATE_COMPLETE"
    site.members["two"] = Resource("/stacks/app/2", "/stacks/app/2", "server")
    heal(site, line(), line("two"))
    assert site.clock < 2 * site.takes


def test_a_vm_of_no_stack_is_left_with_its_reason_and_heat_is_asked_for_nothing(site: Site) -> None:
    ((state, reason),) = heal(site, line("stranger"))
    assert (state, reason) == ("pending", "belongs to no Heat stack of its project; change its rescue method")
    assert site.log == ["pending"]


@pytest.mark.parametrize(
    "status", ["UPDATE_FAILED", "CREATE_FAILED", "DELETE_COMPLETE", "SUSPEND_COMPLETE", "ROLLBACK_COMPLETE"]
)
def test_a_stack_that_was_not_sound_before_is_left_to_its_owner(site: Site, status: str) -> None:
    site.stacks["/stacks/web/1"] = status
    ((state, reason),) = heal(site, line())
    assert state == "pending"
    assert f"its stack is {status} (as told)" in reason
    assert "update" not in site.log


def test_an_update_of_somebody_else_is_waited_for(site: Site) -> None:
    site.ends["/stacks/web/1"] = (30.0, "UPDATE_COMPLETE")
    assert heal(site, line())[0][0] == "verified"
    assert site.clock >= 40.0


def test_an_update_that_does_not_end_is_left_to_itself_and_nothing_is_asked_twice(site: Site) -> None:
    site.takes = 1e6
    ((state, reason),) = heal(site, line())
    assert (state, reason.startswith("its stack has not ended after 100 s")) == ("pending", True)
    assert site.log.count("update") == 1


def test_what_heat_could_not_replace_has_failed_and_says_why(site: Site) -> None:
    site.outcome = "UPDATE_FAILED"
    assert heal(site, line()) == [("failed", "was not replaced; its stack is UPDATE_FAILED: as told")]


@pytest.mark.parametrize(
    ("state", "host", "words"),
    [("error", "", "which is error on no host"), ("active", "cmp01", "which is active on cmp01")],
)
def test_a_new_server_that_is_not_up_elsewhere_does_not_count(site: Site, state: str, host: str, words: str) -> None:
    site.new = _server("db", host, state)
    ((found, reason),) = heal(site, line())
    assert (found, reason.endswith(words)) == ("failed", True)


@pytest.mark.parametrize("when", ["update", "after update"])
def test_an_update_without_an_answer_is_looked_after_and_not_asked_for_again(site: Site, when: str) -> None:
    site.trouble[when] = [CloudError("no answer", status=None)]
    ((state, _reason),) = heal(site, line())
    assert state == ("failed" if when == "update" else "verified")
    assert site.log.count("update") == 1


def test_a_heat_that_is_away_for_a_while_is_borne_and_one_that_says_no_is_not(site: Site) -> None:
    site.trouble["status"] = [CloudError("away", status=503) for _time in range(5)]
    assert heal(site, line())[0][0] == "verified"
    other = Site()
    other.trouble["status"] = [CloudError("forbidden", status=403)]
    assert heal(other, line()) == [("failed", "forbidden")]
    third = Site()
    third.trouble["status"] = [CloudError("away", status=503) for _time in range(1000)]
    assert heal(third, line()) == [("pending", "away")]


def test_a_project_that_heat_does_not_let_in_holds_up_no_other(site: Site) -> None:
    site.trouble["heat"] = [CloudError("no role there")]
    site.members["two"] = Resource("/stacks/web/1", "/stacks/web/1", "other")
    first, second = heal(site, line(project="closed"), line("two"))
    assert first == ("pending", "Heat has not told which stack it belongs to: no role there")
    assert second[0] == "verified"


def test_nothing_is_changed_for_a_host_that_shows_life(site: Site) -> None:
    site.off = False
    with pytest.raises(CertificateError):
        heal(site, line())
    assert site.log == ["requesting"]


def test_nothing_is_begun_for_a_host_that_somebody_has_paused(site: Site) -> None:
    site.stopped = "paused by ann"
    assert heal(site, line()) == [("pending", "paused by ann")]
    assert site.marked == set()


# -- after a run that was killed -----------------------------------------------------------------------------------


def begun(site: Site) -> Line:
    return line(resource=site.members["old"], begun=True)


def test_an_update_that_a_killed_run_has_begun_is_followed_to_its_end(site: Site) -> None:
    vm = begun(site)
    site.marked.add("old")
    site.update("/stacks/web/1")
    site.log.clear()
    assert heal(site, vm)[0][0] == "verified"
    assert "update" not in site.log


def test_a_server_that_a_killed_run_has_only_marked_is_replaced_now_also_if_it_is_gone(site: Site) -> None:
    vm = begun(site)
    del site.servers["old"]
    site.marked.add("old")
    assert heal(site, vm)[0][0] == "verified"
    assert site.log.count("update") == 1


def test_an_update_of_ours_that_has_failed_is_tried_again(site: Site) -> None:
    site.stacks["/stacks/web/1"] = "UPDATE_FAILED"
    assert heal(site, begun(site))[0][0] == "verified"
