"""Fixtures for tests against real services: one bed for the whole session, put back before each test."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed, default_python
from driver import Playbooks

COMPUTES = 6


@pytest.fixture(autouse=True)
def _children_have_a_stdin() -> None:
    """Undo what Ansible (core >= 2.20) does to a process that runs tasks in it, as pytest-ansible does.

    Its TaskQueueManager keeps the standard files from children; ansible-playbook without a stdin loses its workers.
    """
    os.set_inheritable(0, True)


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Bed]:
    """The running bed as it is; most tests want ``cloud``."""
    if not os.access(default_python(), os.X_OK):
        pytest.skip(f"no interpreter with Nova at {default_python()}: run make, or set BED_PYTHON")
    with Bed.start(tmp_path_factory.mktemp("bed") / "state", computes=COMPUTES) as running:
        yield running


@pytest.fixture
def cloud(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Bed:
    """An empty cloud, all hosts up, no faults; openstacksdk finds it as ``lab``."""
    bed.reset()
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(bed.clouds_yaml))
    monkeypatch.setenv("OS_CLOUD", "lab")
    return bed


@pytest.fixture
def recovery(cloud: Bed, tmp_path: Path) -> t.Callable[..., Playbooks]:
    """Make the playbooks for some segments: ``recovery({"rack1": {"hosts": [...]}}, method="redfish")``."""

    def for_segments(segments: t.Mapping[str, t.Any], **options: t.Any) -> Playbooks:
        inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", segments, **options)
        return Playbooks(inventory, tmp_path, cloud.clouds_yaml)

    return for_segments
