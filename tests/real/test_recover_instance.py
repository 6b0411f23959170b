"""VMs that fail on hosts that live, in real Nova; what a monitor would say is written into the journal."""

from __future__ import annotations

import itertools
import typing as t

import pytest
from bed.client import Bed
from driver import Playbooks

Json = t.Dict[str, t.Any]
Recovery = t.Callable[..., Playbooks]

HOST, TARGETS = "cmp01", ("cmp02", "cmp03")
RACK = {"rack1": {"hosts": [HOST, *TARGETS], "shared_storage": True}}
#: Nothing is waited for longer than a test needs.
_HASTY = {"stable": 1, "view_timeout": 20}


class Monitor:
    """What the monitor of a host says, written into the journal."""

    def __init__(self, playbooks: Playbooks, host: str = HOST) -> None:
        self._playbooks, self._host = playbooks, host
        self._numbers = itertools.count(1)

    def says(self, vm: str, word: str, domain: str, **data: t.Any) -> None:
        """One word about a VM."""
        number = next(self._numbers)
        state = "ok" if word == "ok" else "failed"
        signal = {
            "source": f"/hosts/{self._host}/monitors/instance", "event_id": f"{self._host}-{number}",
            "type": f"openstack_ha.instance.{word}", "kind": "instance", "host": self._host, "object": vm,
            "state": state, "epoch": "spool-1", "sequence": number, "reporter": f"host:{self._host}",
            "data": {"reason": f"it says {word}", "domain": {"state": domain}, **data},
        }  # fmt: skip
        with self._playbooks.journal() as journal:
            journal.accept_signals("RegionOne", "ctl1", [signal])


@pytest.fixture
def playbooks(recovery: Recovery) -> Playbooks:
    """The playbooks for one rack."""
    return recovery(RACK)


def recover(playbooks: Playbooks, *vms: str, **variables: t.Any) -> t.Any:
    """Run ``recover_instance``."""
    return playbooks.run("recover_instance", failed_instances=",".join(vms), **variables)


def test_a_crashed_vm_is_restarted_on_its_host(cloud: Bed, playbooks: Playbooks) -> None:
    (vm,) = cloud.fill(HOST)
    ran = recover(playbooks, vm)
    assert ran, ran.out
    assert playbooks.ledger()[vm]["state"] == "verified"
