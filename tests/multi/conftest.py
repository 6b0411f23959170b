"""Fixtures of the tests against a multi-process cloud: a bed of its own for each test."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

import pytest
from bed.client import BUILD, default_python
from driver import Playbooks, until

from multi import packages
from multi.client import MultiBed

# what looks at processes there is of use here, too
sys.path.append(str(Path(__file__).parents[1] / "real"))

HOSTS = 7
#: Seconds that Nova's services wait for each other's answers; 60 by default.
RPC_TIMEOUT = 20


@pytest.fixture(scope="session")
def programs() -> None:
    """RabbitMQ, MariaDB, memcached and the BMCs' simulator are installed; Nova and Keystone are, too."""
    if not os.access(default_python(), os.X_OK):
        pytest.skip(f"no interpreter with Nova at {default_python()}: run make, or set BED_PYTHON")
    reason = packages.install()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def cloud(programs: None, request: pytest.FixtureRequest) -> t.Iterator[MultiBed]:
    """A running cloud of seven hosts; when it is stopped, nothing of it is left."""
    started = MultiBed.start(
        BUILD / "multi" / request.node.name,
        computes=HOSTS,
        report_interval=2,
        service_down_time=20,
        conf={"DEFAULT.rpc_response_timeout": str(RPC_TIMEOUT)},
    )
    bed = t.cast(MultiBed, started)
    try:
        yield bed
    finally:
        bed.stop()
    until(lambda: not bed.left_behind(), 60)
    bed.forget_data()


@pytest.fixture
def recovery(cloud: MultiBed, tmp_path: Path) -> t.Callable[..., Playbooks]:
    """Make the playbooks for some segments: ``recovery({"rack1": {"hosts": [...]}})``."""

    def for_segments(segments: t.Mapping[str, t.Any], **options: t.Any) -> Playbooks:
        inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", segments, **options)
        return Playbooks(inventory, tmp_path, cloud.clouds_yaml)

    return for_segments
