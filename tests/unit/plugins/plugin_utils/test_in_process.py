from __future__ import annotations

import json
import sys
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task as PlayTask
from ansible.plugins.loader import connection_loader
from ansible.template import Templar
from ansible.utils.display import Display

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._in_process import InProcessAction

AS_A_MODULE = {"ran": "as a module"}
SPEC: dict[str, t.Any] = {
    "host": {"type": "str", "required": True, "aliases": ["name"]},
    "password": {"type": "str", "no_log": True},
    "pin": {"type": "int", "no_log": True},
    "count": {"type": "int", "default": 3},
}


def echo(call: Call) -> Result:
    return {"changed": not call.check_mode, "params": call.params, "in_process": call.in_process}


def act(
    run: t.Callable[[Call], Result] = echo,
    task_vars: dict[str, t.Any] | None = None,
    transport: str = "local",
    task: dict[str, t.Any] | None = None,
    **args: t.Any,
) -> dict[str, t.Any]:
    """Run an action plugin with this task on a real local connection, as the executor of a task would."""

    class ActionModule(InProcessAction):
        TASK = Task(SPEC, run, {"required_together": [("password", "pin")]})

        def _execute_module(self, *args: t.Any, **kwargs: t.Any) -> dict[str, t.Any]:
            return dict(AS_A_MODULE)

    entry = PlayTask.load({"action": "ansible.builtin.ping", **(task or {})})
    entry.args = args
    loader = DataLoader()
    connection = connection_loader.get("local", PlayContext())
    connection.transport = transport
    action = ActionModule(entry, connection, PlayContext(), loader, Templar(loader), None)
    return action.run(task_vars={"ansible_python_interpreter": sys.executable, **(task_vars or {})})


def test_a_task_on_the_controller_runs_in_this_process_with_validated_options() -> None:
    result = act(name="cmp03", count="7")
    assert result["in_process"]
    assert (result["params"]["host"], result["params"]["count"], result["params"]["pin"]) == ("cmp03", 7, None)
    assert result["changed"]


@pytest.mark.parametrize(
    "here",
    [
        {"task_vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}},
        {"task": {"become": False}},
        {"task": {"environment": []}},
        {"task": {"async": 0}},
    ],
)
def test_the_ways_to_say_here_are_understood(here: dict[str, t.Any]) -> None:
    assert act(host="x", **here)["in_process"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"transport": "ssh"},
        {"task": {"become": True}},
        {"task": {"async": 30}},
        {"task": {"environment": [{"OS_CLOUD": "prod"}]}},
        {"task_vars": {"ansible_python_interpreter": "/opt/other/bin/python3"}},
    ],
)
def test_what_only_a_module_can_do_is_left_to_the_module(elsewhere: dict[str, t.Any]) -> None:
    result = act(lambda call: pytest.fail("it ran in this process"), host="x", **elsewhere)
    assert result["ran"] == AS_A_MODULE["ran"]


def test_check_mode_reaches_the_task() -> None:
    assert act(host="x", task={"check_mode": True})["changed"] is False


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({}, "missing required arguments: host"),
        ({"host": "x", "hots": "y"}, "hots"),
        ({"host": "x", "count": "many"}, "count"),
        ({"host": "x", "pin": 1}, "required together"),
    ],
)
def test_wrong_options_are_refused_with_the_name_of_the_option(args: dict[str, t.Any], says: str) -> None:
    with pytest.raises(AnsibleError, match=says):
        act(lambda call: pytest.fail("it ran"), **args)


def test_an_error_of_the_collection_is_a_failure_with_its_facts() -> None:
    def run(call: Call) -> Result:
        raise RecoveryError("Could not. Do this.", status=503)

    result = act(run, host="x")
    assert (result["failed"], result["msg"], result["status"]) == (True, "Could not. Do this.", 503)


def test_an_error_of_ours_is_not_hidden() -> None:
    def run(call: Call) -> Result:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act(run, host="x")


def test_a_secret_is_never_in_a_result_or_a_failure() -> None:
    def run(call: Call) -> Result:
        raise RecoveryError(f"bad password {call.params['password']}", answer=[call.params["password"]])

    secret = {"password": "hunter2", "pin": 4711}
    assert "hunter2" not in json.dumps(act(host="x", **secret), default=str)
    assert "hunter2" not in json.dumps(act(run, host="x", **secret), default=str)


def test_a_secret_of_the_wrong_type_is_not_in_the_error() -> None:
    with pytest.raises(AnsibleError) as caught:
        act(host="x", password="p4ss", pin="hunter2")
    assert "pin" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_warnings_and_progress_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda self, message, **more: shown.append(f"warning: {message}"))
    monkeypatch.setattr(Display, "display", lambda self, message, **more: shown.append(message))

    def run(call: Call) -> Result:
        call.progress("1 of 2")
        call.warn("mind the gap")
        return {"changed": False}

    act(run, host="x")
    assert shown == ["1 of 2", "warning: mind the gap"]
