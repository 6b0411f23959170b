# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import retention
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.retention import Rules

DAY = 86400.0
MUCH_LATER = 1e12


@pytest.mark.parametrize(
    ("days", "count", "removed"),
    [(90, 10, []), (5, 10, ["c"]), (0.5, 10, ["c", "b", "a"]), (90, 2, ["c"]), (90, 0, ["c", "b", "a"])],
)
def test_what_is_too_old_or_too_many_may_go_the_oldest_first(days: float, count: int, removed: list[str]) -> None:
    found = {"a": 1 * DAY, "b": 3 * DAY, "c": 8 * DAY}
    assert retention.removable(found, Rules(days, count)) == removed


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


class Archive:
    def __init__(self, directory: Path, journal: Journal) -> None:
        self.directory, self.journal = directory / "artifacts", journal
        self.directory.mkdir()

    def run(self, host: str, incident: str | None = None, closed: bool = True) -> str:
        """A run with artifacts, and the state that its incident is then in."""
        entry = {"host": host, "incident_id": self.journal.open_incident(host, "R", None)["id"]}
        run_id = str(self.journal.open_run([entry], claims.opener())["id"])
        if incident:
            self.journal.set_incident(entry["incident_id"], incident)
        if closed:
            self.journal.close_run(run_id, "closed")
        self.artifacts(run_id)
        return run_id

    def artifacts(self, name: str) -> None:
        (self.directory / name / "job_events").mkdir(parents=True)
        (self.directory / name / "stdout").write_text("x", encoding="utf-8")

    def retain(self, active: t.Container[str] = ()) -> int:
        return retention.retain(self.directory, Rules(1, 0), self.journal, active, lambda: MUCH_LATER)

    def left(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()}


@pytest.fixture
def archive(tmp_path: Path, journal: Journal) -> Archive:
    return Archive(tmp_path, journal)


def test_artifacts_of_what_has_not_ended_are_kept_however_old(archive: Archive) -> None:
    kept = {archive.run(f"cmp-{state}", state) for state in ("open", "held", "recovering", "partial")}
    kept |= {archive.run("at-work", "recovered", closed=False)}
    active = archive.run("here", "recovered")
    archive.run("cmp01", "recovered")
    archive.run("cmp02", "closed")
    archive.artifacts("of nothing that the journal knows")
    assert archive.retain({active}) == 3
    assert archive.left() == {*kept, active}


def test_an_earlier_run_of_an_incident_that_goes_on_is_kept(archive: Archive) -> None:
    first, second = archive.run("cmp01", "held"), archive.run("cmp01", "recovering")
    archive.retain()
    assert archive.left() == {first, second}


def test_a_clock_that_jumps_does_not_empty_the_archive_at_a_stroke(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 2)
    for number in range(3):
        archive.artifacts(str(number))
    assert archive.retain() == 2
    assert archive.retain() == 1


def test_where_nothing_was_run_nothing_is_removed(tmp_path: Path, journal: Journal) -> None:
    assert retention.retain(tmp_path / "none", Rules(1, 0), journal, ()) == 0
