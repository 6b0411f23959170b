"""Lets ansible-playbook wait for its death before the task that is named in ``HALT_BEFORE``."""

from __future__ import annotations

import os
import signal
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: halt_before
type: aggregate
short_description: Wait for death before a task
description: A breakpoint at a step boundary. Writes C(HALT_FILE) when it is reached.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "halt_before"

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        if task.name == os.environ["HALT_BEFORE"]:
            Path(os.environ["HALT_FILE"]).touch()
            signal.pause()
