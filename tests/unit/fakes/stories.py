"""Stories written in a test."""

from __future__ import annotations

import textwrap
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import play, story
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.play import Played
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.story import Story


def write(directory: Path, given: str, timeline: str, name: str = "a_story", expected: str = "") -> Path:
    path = directory / name
    path.mkdir()
    (path / story.README).write_text(f"# {name}\n\nSomething happens.\nSomething must come out.\n")
    (path / story.GIVEN).write_text(textwrap.dedent(given))
    (path / story.TIMELINE).write_text(textwrap.dedent(timeline))
    if expected:
        (path / story.EXPECTED).write_text(expected)
    return path


def read(directory: Path, given: str, timeline: str) -> Story:
    return story.load(write(directory, given, timeline), play.ALL_EVENTS)


def tell(directory: Path, given: str, timeline: str, without: str = "") -> Played:
    """Play it, without the gates of that name."""
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_table import GATES

    gates = [gate for gate in GATES if gate.name != without]
    return play.play(read(directory, given, timeline), gates=gates)
