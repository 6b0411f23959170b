"""Runs tasks of modules as an action plugin would, on a simulated cloud and a real journal in a file."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import (
    compute_service,
    evacuation_plan,
    host_evacuate,
    incident_answer,
    recovery_order,
    recovery_order_info,
    recovery_run,
    reserved_host,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud, topology
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Json

PROOF = {"kind": "ipmi", "observed_state": "off"}


class WrongOptions(Exception):
    """What ansible says about options before the task begins."""


class Tasks:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, cloud: FakeCloud, directory: t.Any) -> None:
        self.cloud, self.nova = cloud, cloud.nova
        self.url = f"sqlite:///{directory}/journal.db"
        self.warnings: list[str] = []
        self.say: t.Callable[[str], None] = lambda message: None
        self.topology = topology(*self.nova.services)
        for module in (
            compute_service,
            evacuation_plan,
            host_evacuate,
            incident_answer,
            recovery_order,
            recovery_order_info,
            recovery_run,
            reserved_host,
        ):
            monkeypatch.setattr(module, "connect", lambda params: self.cloud)

    def run(self, module: types.ModuleType, check_mode: bool = False, **args: t.Any) -> Json:
        given = {"journal_url": self.url, **args}
        checked = ArgumentSpecValidator(module.TASK.argument_spec, **module.TASK.constraints).validate(given)
        if checked.error_messages:
            raise WrongOptions("; ".join(checked.error_messages))
        say = {"warn": self.warnings.append, "progress": self.say}
        call = Call(checked.validated_parameters, check_mode, in_process=True, **say)
        return dict(module.TASK.run(call))

    def journal(self) -> Journal:
        return open_journal(self.url)

    def open(self, *hosts: str, **args: t.Any) -> str:
        """A run that may work on the hosts; its id."""
        opened = self.run(recovery_run, state="open", hosts=list(hosts), topology=self.topology, **args)
        return str(opened["run_id"])

    def prove_off(self, run_id: str, host: str) -> None:
        """What host_fence journals."""
        with self.journal() as journal:
            journal.add_certificate(run_id, host, PROOF)

    def service(self, host: str) -> Json:
        return self.nova.services[host]
