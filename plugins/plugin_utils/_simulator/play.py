# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays a story. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.build import build
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.ending import Ending, look_back
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.events import EVENTS
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.orders import ORDERS
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.seams import simulated
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.stage import Stage
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.story import Story

ALL_EVENTS = {**EVENTS, **ORDERS}
_AFTER_THE_LAST = 900.0
_MEMORY = "/dev/shm"  # noqa: S108  # the files get directories of their own there


@dataclasses.dataclass(frozen=True)
class Played:
    """What came out.

    :param outcome: One line per host that something happened to. :param harm: What was hurt.
    :param decided: The gates that objected to anything: without another one all would have been the same.
    """

    story: str
    log: str
    outcome: list[str]
    harm: list[str]
    decided: list[str]


def play(
    story: Story,
    policy: Json | None = None,
    gates: t.Sequence[t.Any] | None = None,
    watch: t.Callable[[Stage], None] = lambda stage: None,
) -> Played:
    """Play a story from its beginning.

    :param policy: Contents of a policy file to use instead of the story's own.
    :param gates: Decide with these gates only. :param watch: Shown everything before anything happens.
    """
    site = build(story.given, policy)
    with _journal(site), simulated(site, gates):
        stage = Stage(site, story.given.controllers)
        watch(stage)
        try:
            ending = _run(stage, story)
        finally:
            site.processes.end()
    return Played(story.name, site.log.text(), ending.outcome, ending.harm, sorted(site.decided))


def _run(stage: Stage, story: Story) -> Ending:
    clock, start = stage.site.clock, stage.site.clock.time
    for host in stage.plant.hosts:
        stage.check_fencing(host)
    stage.start()
    for moment in story.timeline:
        clock.at(start + moment.at, ALL_EVENTS[moment.event](stage, moment.what, moment.path))
    last = story.timeline[-1].at if story.timeline else 0.0
    lasts = last + _AFTER_THE_LAST if story.given.lasts is None else story.given.lasts
    clock.advance(start + lasts - clock.time)
    return look_back(stage.site)


@contextlib.contextmanager
def _journal(site: Site) -> t.Iterator[None]:
    """A journal of its own: a real one, in a file that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="story-", dir=_fast()) as directory:
        path = Path(directory) / "journal.db"
        path.write_bytes(_empty_journal())
        with open_journal(f"sqlite:///{path}") as journal:
            site.journal = journal
            yield


def _fast() -> str | None:
    """A directory in memory, if there is one: each commit of a journal waits for its disk."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


@functools.lru_cache(maxsize=1)
def _empty_journal() -> bytes:
    """Making the tables takes longer than most stories."""
    directory = tempfile.mkdtemp(prefix="story-")
    try:
        path = Path(directory) / "journal.db"
        with open_journal(f"sqlite:///{path}") as journal:
            journal.database.write(lambda connection: None)
        return path.read_bytes()
    finally:
        shutil.rmtree(directory)
