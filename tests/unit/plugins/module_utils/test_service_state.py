from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _service_state

PLAYBOOK = Path(__file__).parents[4] / "playbooks" / "recover_host.yml"


def test_the_playbook_wants_the_same_so_that_it_finds_nothing_to_change() -> None:
    (_decide, recover) = yaml.safe_load(PLAYBOOK.read_text(encoding="utf-8"))
    task = recover["tasks"][0]["block"][0]["openstack_ha.recovery.compute_service"]
    said = {key: task[key] for key in ("status", "disabled_reason", "forced_down")}
    assert said == _service_state.out_of_service("{{ run_id }}")
