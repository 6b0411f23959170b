"""Stories: they load, they always come out the same, and harm is seen when a gate is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tree import collections_path
from unit.fakes.stories import read, tell, write

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given, play, story

ROOT = Path(__file__).parents[5]
STORIES = story.find(ROOT / "stories")

ONE_SEGMENT = "segments: {rack1: {hosts: 4, vms: 2}}"
DEATH = """
- at: 2 min
  die: cmp01
"""
#: A host whose VMs are well, but that looks dead to everybody.
LOOKS_DEAD = """
- at: 90 s
  pause: {reason: the switch is replaced, for: 1 h}
- at: 2 min
  monitor_stops: cmp01
- at: 2 min
  cut: {hosts: cmp01, networks: [admin]}
"""


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.name)
def test_each_story_that_is_shipped_is_complete_and_without_mistakes(path: Path) -> None:
    found = story.load(path, play.ALL_EVENTS)
    assert found.expected, "it was never recorded: tests/tools/stories.py --record"
    assert found.expected.splitlines()[-1].startswith("    harm  ")
    assert found.given.harm or found.expected.endswith("    harm  none\n")


def test_a_dead_host_is_recovered(tmp_path: Path) -> None:
    played = tell(tmp_path, ONE_SEGMENT, DEATH)
    assert played.harm == []
    assert played.outcome == ["cmp01: recovered, off, forced down; VMs: 1 on cmp02, 1 on cmp03"]
    assert played.decided == []


def test_a_gate_that_is_missing_is_seen_as_harm_to_healthy_vms(tmp_path: Path) -> None:
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    with_it = tell(tmp_path / "with", ONE_SEGMENT, LOOKS_DEAD)
    without_it = tell(tmp_path / "without", ONE_SEGMENT, LOOKS_DEAD, without="orders")
    assert (with_it.harm, with_it.decided) == ([], ["orders"])
    assert "HARM: cmp01 was healthy and was switched off with 2 VMs: cmp01-vm1, cmp01-vm2" in without_it.log
    assert without_it.harm == ["cmp01 was healthy and was switched off with 2 VMs: cmp01-vm1, cmp01-vm2"]


PLAY = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import play, story
print(play.play(story.load(Path(sys.argv[1]), play.ALL_EVENTS)).log, end="")
"""


def test_a_story_comes_out_the_same_byte_for_byte_in_every_process() -> None:
    path = ROOT / "stories" / "controller_crash_takeover"
    logs = {
        subprocess.run(
            [sys.executable, "-c", PLAY, str(path), str(collections_path()), *sys.path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert logs == {(path / story.EXPECTED).read_bytes()}


def test_a_story_that_comes_out_in_another_way_is_shown_as_a_difference(tmp_path: Path) -> None:
    path = write(tmp_path, ONE_SEGMENT, DEATH, expected="    2:00  cmp01: explodes\n")
    found = story.load(path, play.ALL_EVENTS)
    lines = found.difference(play.play(found).log).splitlines()
    assert lines[:2] == ["--- a_story/expected.log", "+++ this time"]
    assert "-    2:00  cmp01: explodes" in lines
    assert "+    2:00  cmp01: dies" in lines


def test_a_story_that_comes_out_as_expected_shows_no_difference(tmp_path: Path) -> None:
    found = read(tmp_path, ONE_SEGMENT, DEATH)
    (found.directory / story.EXPECTED).write_text(play.play(found).log)
    assert found.difference(play.play(found).log) == ""


def test_a_foreign_policy_changes_the_end(tmp_path: Path) -> None:
    found = read(tmp_path, ONE_SEGMENT, DEATH)
    assert play.play(found, {"gates": {"witnesses": {"needed": 5}}}).outcome == ["cmp01: held, off; VMs: 2 down"]


@pytest.mark.parametrize(
    ("timeline", "said"),
    [
        ("die: cmp01", "must be a list of events"),
        ("- die: cmp01", r"timeline.yml\[0\]: 'at' is missing|timeline.yml\[0\].*at.* is missing"),
        ("- {at: 1, die: cmp01, boot: cmp01}", r"\[0\]: must have one event beside 'at', not die, boot"),
        ("- {at: 1, dei: cmp01}", r"\[0\].dei: is not known. Did you mean die\?"),
        ("- {at: 9, die: cmp01}\n- {at: 1, boot: cmp01}", r"\[1\].die.at|\[1\].boot.at: is before the entry above"),
    ],
)
def test_mistakes_in_a_timeline_are_told_with_their_place(tmp_path: Path, timeline: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, ONE_SEGMENT, timeline)


@pytest.mark.parametrize(
    ("timeline", "said"),
    [
        ("- {at: 1, die: cmp99}", r"\[0\].die: 'cmp99' is not known"),
        (
            "- {at: 1, cut: {hosts: cmp01, netwroks: [admin]}}",
            r"\[0\].cut.netwroks: is not known. Did you mean",
        ),
        ("- {at: 1, cut: {networks: [admin]}}", r"\[0\].cut: name hosts or controllers"),
        ("- {at: 1, power_loss: rack-z}", r"\[0\].power_loss: 'rack-z' is not known"),
        ("- {at: 1, die: {segment: rack9}}", r"\[0\].die: there is no such host"),
        ("- {at: 1, evacuations: {vms: cmp01-vm1, end: badly}}", r"\[0\].evacuations.end: 'badly' is not known"),
        ("- {at: 1, answer: {hosts: cmp01, verdict: maybe}}", r"\[0\].answer.verdict: 'maybe' is not known"),
        ("- {at: 1, controller_dies: ctl9}", r"\[0\].controller_dies: 'ctl9' is not known"),
    ],
)
def test_mistakes_in_an_event_are_told_before_anything_is_played(tmp_path: Path, timeline: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        play.play(read(tmp_path, ONE_SEGMENT, timeline))


def test_a_readme_has_two_lines(tmp_path: Path) -> None:
    path = write(tmp_path, ONE_SEGMENT, DEATH)
    (path / story.README).write_text("# a_story\n\nOnly one.\n")
    with pytest.raises(ConfigError, match="must have two lines below its title"):
        story.load(path, play.ALL_EVENTS)


def test_the_docs_name_every_event_and_every_key() -> None:
    docs = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    keys = {*given.KEYS, *given.SEGMENT_KEYS, *given.HOST_KEYS, *given.VM_KEYS, *given.KINDS}
    assert [name for name in sorted(keys) if f"`{name}`" not in docs] == []
    assert [name for name in play.ALL_EVENTS if f"`{name}:" not in docs and f", `{name}`" not in docs] == []
