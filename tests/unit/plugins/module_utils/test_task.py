from __future__ import annotations

import json
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

SPEC: dict[str, t.Any] = {
    "host": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "count": {"type": "int", "default": 3},
}


def main(task: Task, capsys: pytest.CaptureFixture[str], **args: t.Any) -> dict[str, t.Any]:
    with patch_module_args(args), pytest.raises(SystemExit) as ended:
        task.main()
    said = json.loads(capsys.readouterr().out)
    assert bool(ended.value.code) == bool(said.get("failed"))
    return dict(said)


def test_a_task_gets_validated_options_and_its_result_is_the_modules(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Call] = []

    def run(call: Call) -> Result:
        seen.append(call)
        return {"changed": True, "host": call.params["host"]}

    said = main(Task(SPEC, run), capsys, host="cmp03", count="7")
    assert (said["changed"], said["host"]) == (True, "cmp03")
    assert (seen[0].params["count"], seen[0].check_mode, seen[0].in_process) == (7, False, False)


def test_check_mode_reaches_the_task(capsys: pytest.CaptureFixture[str]) -> None:
    said = main(Task(SPEC, lambda call: {"changed": call.check_mode}), capsys, host="x", _ansible_check_mode=True)
    assert said["changed"] is True


def test_an_error_becomes_a_failure_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    def run(call: Call) -> Result:
        raise RecoveryError("Could not. Do this.", status=503, hosts=["a"])

    said = main(Task(SPEC, run), capsys, host="cmp03")
    assert (said["failed"], said["msg"], said["status"], said["hosts"]) == (True, "Could not. Do this.", 503, ["a"])


def test_a_secret_that_comes_back_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    def run(call: Call) -> Result:
        raise RecoveryError(f"The BMC said: bad password {call.params['password']}", answer=call.params["password"])

    said = main(Task(SPEC, run), capsys, host="cmp03", password="hunter2")
    assert "hunter2" not in json.dumps(said)
    assert said["failed"]


def test_wrong_options_are_refused_before_the_task_runs(capsys: pytest.CaptureFixture[str]) -> None:
    task = Task(SPEC, lambda call: pytest.fail("it ran"), {"required_together": [("host", "password")]})
    assert "unsupported" in main(task, capsys, host="x", password="hunter2", hots="y")["msg"].lower()
    assert "required together" in main(task, capsys, host="x")["msg"]


def test_a_warning_is_shown_and_progress_goes_nowhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(call: Call) -> Result:
        call.warn("mind the gap")
        call.progress("1 of 2")
        return {"changed": False}

    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning: warnings.append(warning))
    said = main(Task(SPEC, run), capsys, host="x")
    assert warnings == ["mind the gap"]
    assert "1 of 2" not in json.dumps(said)
