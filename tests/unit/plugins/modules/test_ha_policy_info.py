from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result
from ansible_collections.openstack_ha.recovery.plugins.modules.ha_policy_info import TASK

SEGMENTS = "plugin: openstack_ha.recovery.failover_segments\nsegments: {rack1: {hosts: [cmp01]}, rack2: {hosts: [x]}}\n"


def checked(directory: Path, policy: str | None) -> Result:
    segments = directory / "x.failover_segments.yml"
    segments.write_text(SEGMENTS)
    if policy is not None:
        (directory / "ha_policy.yml").write_text(policy)
    return TASK.run(Call({"segments_file": str(segments), "policy_file": None}))


def test_the_policy_that_holds_is_told_with_its_warnings_and_hashes(tmp_path: Path) -> None:
    result = checked(tmp_path, "budgets: {cloud: {at_once: 4}}")
    assert not result["changed"]
    assert result["policy"]["budgets"]["cloud"] == {"at_once": 4, "at_once_percent": 100, "per_hour": 3}
    assert result["policy_warnings"] == ["budgets.cloud.at_once: 4 is never reached, per_hour there is 3."]
    assert result["policy_file"] == str(tmp_path / "ha_policy.yml")
    assert result["segments"] == ["rack1", "rack2"]
    assert len(result["policy_hash"]) == len(result["segments_hash"]) == 64


def test_without_a_policy_file_the_defaults_are_told(tmp_path: Path) -> None:
    result = checked(tmp_path, None)
    assert (result["policy"], result["policy_file"], result["policy_warnings"]) == (defaults(), None, [])


def test_what_is_wrong_is_returned_as_a_list(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path, "x: 1\nb: 2")
    assert [message.split(" Known")[0] for message in caught.value.facts["errors"]] == [
        "ha_policy.yml: x: unknown key.",
        "ha_policy.yml: b: unknown key.",
    ]
