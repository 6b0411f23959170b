from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.awx import AwxLauncher
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import PLAYBOOKS, Order


@pytest.mark.parametrize(("kind", "template"), [("host", 7), ("instance", 8), ("process", None)])
def test_each_playbook_has_a_job_template_of_its_own_and_without_one_its_runs_are_refused(
    kind: str, template: int | None
) -> None:
    config: dict[str, t.Any] = {"job_template": 7, "job_templates": {"recover_instance": 8, "recover_process": None}}
    launcher, order = AwxLauncher(config), Order("run", ("cmp01",), PLAYBOOKS[kind], {})
    if template is not None:
        assert launcher._template(order) == template
        return
    with pytest.raises(RecoveryError, match=r"runs\.awx\.job_templates\.recover_process"):
        launcher._template(order)
