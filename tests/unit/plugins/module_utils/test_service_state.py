from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _service_state

PLAYBOOK = Path(__file__).parents[4] / "playbooks" / "recover_host.yml"
MODULE = "openstack_ha.recovery.compute_service"


def tasks(value: t.Any) -> t.Iterator[dict[str, t.Any]]:
    """The options of each task of the module, wherever it stands."""
    if isinstance(value, dict) and MODULE in value:
        yield value[MODULE]
    for it in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from tasks(it)


def test_the_playbook_wants_the_same_so_that_it_finds_nothing_to_change() -> None:
    found = [task for task in tasks(yaml.safe_load(PLAYBOOK.read_text(encoding="utf-8"))) if "forced_down" in task]
    assert found
    for task in found:
        said = {key: task[key] for key in ("status", "disabled_reason", "forced_down")}
        assert said == _service_state.out_of_service("{{ run_id }}")
