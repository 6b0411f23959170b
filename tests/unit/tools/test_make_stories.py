"""What `make stories` and `make mutation` say, and how they end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tree import ROOT
from unit.fakes.stories import write

sys.path.insert(0, str(ROOT / "tests" / "tools"))

import stories as tool

GIVEN = "segments: {rack1: {hosts: 4, vms: 2}}"
DEATH = "- {at: 2 min, die: cmp01}"
LOOKS_DEAD = "- {at: 2 min, monitor_stops: cmp01}\n- {at: 2 min, cut: {hosts: cmp01, networks: [admin]}}"
PAUSED = f"- {{at: 90 s, pause: {{for: 1 h}}}}\n{LOOKS_DEAD}"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tool, "STORIES", tmp_path)
    return tmp_path


def test_a_story_that_comes_out_in_another_way_fails_and_shows_the_difference(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(root, GIVEN, DEATH)
    assert tool.record([path]) == 0
    assert tool.check([path]) == 0
    expected = path / "expected.log"
    expected.write_text(expected.read_text().replace("dies", "explodes"))
    capsys.readouterr()
    assert tool.check([path]) == 1
    said = capsys.readouterr().out
    assert "-    2:00  cmp01: explodes\n+    2:00  cmp01: dies\n" in said
    assert "1 stories, 1 of them not as expected" in said


def test_a_story_with_harm_fails_and_is_not_recorded(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(root, GIVEN, LOOKS_DEAD)
    assert tool.record([path]) == 1
    assert not (path / "expected.log").exists()
    assert tool.check([path]) == 1
    assert "HARM: cmp01 was healthy and was switched off" in capsys.readouterr().out


def test_harm_that_the_story_calls_unavoidable_is_recorded(root: Path) -> None:
    path = write(root, f"{GIVEN}\nharm: nobody can know", LOOKS_DEAD)
    assert tool.record([path]) == 0
    assert tool.check([path]) == 0


def test_a_story_with_a_mistake_fails_with_its_path(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.check([write(root, GIVEN, "- {at: 2 min, dei: cmp01}")]) == 1
    assert "a_story/timeline.yml[0].dei: is not known. Did you mean die?" in capsys.readouterr().out


def test_a_gate_that_no_story_needs_fails_the_mutation(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.mutation([write(root, GIVEN, PAUSED)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "orders             a_story" in lines
    assert "segment            NO STORY NOTICES" in lines
    assert lines[-1] == "1 of 18 gates are missed when they are gone"


def test_stories_are_chosen_by_name(root: Path) -> None:
    for name in ("rack_loss", "rack_back", "other"):
        write(root, GIVEN, DEATH, name)
    assert [path.name for path in tool.chosen(["rack_*"])] == ["rack_back", "rack_loss"]
    assert len(tool.chosen([])) == 3
    with pytest.raises(SystemExit, match="no story in"):
        tool.chosen(["nothing"])
