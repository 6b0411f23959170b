"""Plays the stories: ``make stories``, ``make mutation``; developers record them with it. See docs/simulator.md.

stories.py                      play all, show what differs from expected.log
stories.py rack_loss '*bmc*'    play some
stories.py --show rack_loss     print the log
stories.py --record rack_loss   write expected.log
stories.py --mutation           switch each gate off in turn: which stories see harm?
"""

from __future__ import annotations

import argparse
import collections
import fnmatch
import multiprocessing
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tree import collections_path

sys.path.insert(0, str(collections_path()))

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_table import GATES
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import play, story

STORIES = Path(__file__).resolve().parents[2] / "stories"
_PROCESSES = 2


class Came(t.NamedTuple):
    """What came out of one story in a process of its own."""

    name: str
    log: str = ""
    difference: str = ""
    harm: t.Sequence[str] = ()
    decided: t.Sequence[str] = ()
    error: str = ""


def tell(job: tuple[Path, str | None]) -> Came:
    """Play one story, with one gate switched off if that is named."""
    directory, without = job
    try:
        found = story.load(directory, play.ALL_EVENTS)
        gates = [gate for gate in GATES if gate.name != without] if without else None
        played = play.play(found, gates=gates)
    except RecoveryError as error:
        return Came(directory.name, error=error.message)
    harm = [] if found.given.harm and not without else played.harm
    return Came(found.name, played.log, found.difference(played.log), harm, played.decided)


def chosen(patterns: list[str]) -> list[Path]:
    wanted = patterns or ["*"]
    found = [path for path in story.find(STORIES) if any(fnmatch.fnmatch(path.name, it) for it in wanted)]
    if not found:
        sys.exit(f"no story in {STORIES} is called {', '.join(patterns) or 'anything'}")
    return found


def told(jobs: t.Sequence[tuple[Path, str | None]]) -> t.Iterator[Came]:
    if len(jobs) < 2 * _PROCESSES:
        yield from map(tell, jobs)
        return
    with multiprocessing.Pool(_PROCESSES) as pool:
        yield from pool.imap(tell, jobs)


def check(directories: list[Path]) -> int:
    start, wrong = time.monotonic(), 0
    for came in told([(path, None) for path in directories]):
        problem = came.error or came.difference
        if came.harm:
            problem = f"{problem}\n" + "\n".join(f"HARM: {line}" for line in came.harm)
        if problem:
            wrong += 1
            print(f"-- {came.name}\n{problem.strip()}\n")
    print(f"{len(directories)} stories, {wrong} of them not as expected, {time.monotonic() - start:.1f} s")
    return 1 if wrong else 0


def record(directories: list[Path]) -> int:
    """Write expected.log; never one with harm that the story does not call unavoidable."""
    refused = 0
    for came in told([(path, None) for path in directories]):
        if came.error or came.harm:
            refused += 1
            print(f"-- {came.name}: not recorded: {came.error or 'harm was done'}\n{came.log}")
        elif came.difference:
            (STORIES / came.name / story.EXPECTED).write_text(came.log, encoding="utf-8")
            print(f"-- {came.name}: recorded\n{came.log}")
    return 1 if refused else 0


def show(directories: list[Path]) -> int:
    for path in directories:
        came = tell((path, None))
        print(f"-- {came.name}\n{came.error or came.log}")
    return 0


def mutation(directories: list[Path]) -> int:
    """Each gate is missing in turn; each must be missed by somebody whose VM was hurt.

    A story is played again only without the gates that objected in it: without another all would be the same.
    """
    plain = dict(zip(directories, told([(path, None) for path in directories])))
    jobs = [(path, gate.name) for gate in GATES for path in directories if gate.name in plain[path].decided]
    notice: dict[str, list[str]] = collections.defaultdict(list)
    for (path, without), came in zip(jobs, told(jobs)):
        if set(came.harm) - set(plain[path].harm):
            notice[without].append(path.name)
    for gate in GATES:
        print(f"{gate.name:18} {', '.join(notice[gate.name]) or 'NO STORY NOTICES'}")
    unnoticed = [gate.name for gate in GATES if not notice[gate.name]]
    print(f"{len(GATES) - len(unnoticed)} of {len(GATES)} gates are missed when they are gone")
    return 1 if unnoticed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stories", nargs="*", help="names, * allowed; all by default")
    for name, work in (("record", record), ("show", show), ("mutation", mutation)):
        parser.add_argument(f"--{name}", dest="work", action="store_const", const=work)
    options = parser.parse_args()
    return (options.work or check)(chosen(options.stories))


if __name__ == "__main__":
    sys.exit(main())
