"""The multi-process bed itself: however it ends, nothing of it is left."""

from __future__ import annotations

import os
import signal
import typing as t
from pathlib import Path

import pytest
from bed.client import BUILD
from driver import until

from multi.client import MultiBed


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.deep), signal.SIGKILL])
def test_nothing_is_left_when_the_server_ends(programs: None, number: signal.Signals) -> None:
    bed = t.cast(MultiBed, MultiBed.start(BUILD / "multi" / f"ended_by_{number.name}", computes=1))
    try:
        names = {Path(command.split(" ", 1)[0]).name for command in bed.left_behind().values()}
        assert {"beam.smp", "epmd", "ipmi_sim", "mariadbd", "memcached"} <= names
        os.kill(bed.ports["pid"], number)
        until(lambda: not bed.left_behind(), 60)
    finally:
        bed.stop()
        bed.forget_data()
