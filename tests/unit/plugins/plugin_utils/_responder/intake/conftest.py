# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The intake before a journal in a file, and a client of it.

The collection is imported inside the fixtures: pytest loads this file before pytest-ansible has made
the collection known to Ansible's loader.
"""

from __future__ import annotations

import contextlib
import shutil
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from starlette.testclient import TestClient

    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a journal with nothing in it: to copy one is quicker than to make one."""
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

    path = tmp_path_factory.mktemp("empty") / "journal.db"
    open_journal(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def journal(tmp_path: Path, empty: Path) -> t.Iterator[Journal]:
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

    shutil.copyfile(empty, tmp_path / "journal.db")
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


@pytest.fixture
def intake(journal: Journal) -> t.Iterator[t.Callable[..., TestClient]]:
    """A function that makes a client of a new intake; its arguments replace what the intake is handed."""
    from prometheus_client import CollectorRegistry
    from starlette.testclient import TestClient

    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.app import create_app
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.writer import Writer
    from ansible_collections.openstack_ha.recovery.tests.unit.fakes import intake as fakes

    with contextlib.ExitStack() as ending:

        def make(**handed: t.Any) -> TestClient:
            writer = Writer(lambda rows: journal.accept_signals(fakes.SCOPE, "ctl1", rows))
            writer.start()
            ending.callback(writer.close)
            deps = fakes.deps(journal, handed.pop("accept", writer.accept), CollectorRegistry(), **handed)
            return ending.enter_context(TestClient(create_app(deps), base_url="https://ctl1:7411"))

        yield make
