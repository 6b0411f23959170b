from __future__ import annotations

import typing as t

import pytest
from unit.fakes.runs import DEAD, Site

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    CloudError,
    LeaseLost,
    Paused,
    RecoveryError,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_world import RealWorld


class Asked:
    """A cloud that notes what it is asked for."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.paths: list[str] = []
        self.refuses_lists = False

    def get(self, service: str, path: str, microversion: str | None = None, **params: t.Any) -> t.Any:
        self.paths.append(path)
        if self.refuses_lists and path == "/servers/detail":
            raise CloudError("GET /servers/detail: 403", status=403)
        return self.site.cloud.get(service, path, microversion, **params)

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self.site.cloud, name)


class Journal:
    """A run, and what it notes of reserved hosts."""

    def __init__(self) -> None:
        self.id, self.journal = "run", self
        self.noted: list[str] = []
        self.ordered: RecoveryError | None = None

    def check(self) -> None:
        if self.ordered is not None:
            raise self.ordered

    def use_reserved(self, run_id: str, host: str, segment: str | None, reason: str) -> None:
        self.noted.append(host)


@pytest.fixture
def site() -> Site:
    site = Site()
    for number in range(4):
        site.nova.add(str(number), "cmp02")
    site.nova.add("moved", "cmp03")
    return site


@pytest.fixture
def asked(site: Site) -> Asked:
    return Asked(site)


@pytest.fixture
def run() -> Journal:
    return Journal()


@pytest.fixture
def world(asked: Asked, run: Journal) -> RealWorld:
    return RealWorld(
        t.cast(t.Any, asked), t.cast(t.Any, run), {DEAD: []}, 30.0, t.cast(t.Any, None), lambda _message: None
    )


def test_several_servers_on_a_host_are_read_with_one_call(world: RealWorld, asked: Asked) -> None:
    found = world.servers("cmp02", ["0", "1", "2"])
    assert {key: t.cast(dict[str, t.Any], server)["id"] for key, server in found.items()} == {
        "0": "0",
        "1": "1",
        "2": "2",
    }
    assert asked.paths == ["/servers/detail"]


def test_one_server_is_not_read_with_all_others_on_its_host(world: RealWorld, asked: Asked) -> None:
    assert set(world.servers("cmp02", ["0"])) == {"0"}
    assert asked.paths == ["/servers/0"]


def test_what_is_not_on_the_host_is_looked_for_where_it_is(world: RealWorld, asked: Asked) -> None:
    found = world.servers("cmp02", ["0", "1", "moved", "deleted"])
    assert t.cast(dict[str, t.Any], found["moved"])["OS-EXT-SRV-ATTR:host"] == "cmp03"
    assert found["deleted"] is None
    assert asked.paths == ["/servers/detail", "/servers/moved", "/servers/deleted"]


def test_without_lists_servers_are_read_one_by_one(world: RealWorld, asked: Asked) -> None:
    asked.refuses_lists = True
    assert all(world.servers("cmp02", ["0", "1", "2"]).values())
    assert asked.paths == ["/servers/detail", "/servers/0", "/servers/1", "/servers/2"]


@pytest.fixture
def reserved(site: Site) -> dict[str, t.Any]:
    service: dict[str, t.Any] = site.nova.services["cmp03"]
    service.update(status="disabled", disabled_reason="reserved for failover")
    return service


def test_a_reserved_host_is_taken_once(world: RealWorld, run: Journal, reserved: dict[str, t.Any]) -> None:
    assert [world.take_reserved("cmp03", DEAD) for _thread in range(2)] == ["", ""]
    assert (run.noted, reserved["status"]) == (["cmp03"], "enabled")


def test_an_order_to_pause_is_why_a_reserved_host_is_not_taken_and_stops_nothing_else(
    world: RealWorld, run: Journal, reserved: dict[str, t.Any]
) -> None:
    run.ordered = Paused("paused by ada")
    assert [world.take_reserved("cmp03", DEAD) for _vm in range(2)] == ["paused by ada"] * 2
    assert reserved["status"] == "disabled"


def test_a_run_that_has_lost_its_claim_takes_no_reserved_host_and_stops(
    world: RealWorld, run: Journal, reserved: dict[str, t.Any]
) -> None:
    run.ordered = LeaseLost("another run took over")
    with pytest.raises(LeaseLost):
        world.take_reserved("cmp03", DEAD)
    assert reserved["status"] == "disabled"


def test_a_reserved_host_that_nova_did_not_enable_is_tried_again(
    world: RealWorld, reserved: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_what: t.Any, **_more: t.Any) -> t.NoReturn:
        raise CloudError("PUT /os-services: 503", status=503)

    with monkeypatch.context() as outage:
        outage.setattr(_compute, "update_service", refuse)
        with pytest.raises(CloudError):
            world.take_reserved("cmp03", DEAD)
    assert reserved["status"] == "disabled"
    assert world.take_reserved("cmp03", DEAD) == ""
    assert reserved["status"] == "enabled"
