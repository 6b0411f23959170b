# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a responder does with verdicts. PRIVATE to this collection: may change at any time.

Pure, and used by the simulator as well: which hosts to decide about, which verdicts to act on, when to look again.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates

Json = t.Dict[str, t.Any]

#: Seconds between two looks of a controller, and how they grow while suspects stay as they are.
LOOK = 5.0
_LONGEST_LOOK = 20.0
#: Seconds until a host is taken up again whose recovery ended like this; they double each time.
AGAIN = {"partial": 300.0, "held": 30.0, "refused": 30.0}
_LONGEST = 1800.0


@dataclasses.dataclass
class Memory:
    """What a responder keeps between two looks.

    :param said: The last verdict of each suspect, its gate, and the reason of a question, which an answer belongs to.
    :param asked: All suspects when that was said first.
    :param storm_noted: Whether a storm may stand in the journal that has not ended there.
    :param quiet: Looks in which they did not change.
    :param not_before: When hosts may be taken up again, and how often they were.
    """

    said: dict[str, tuple[str, str | None, str]] = dataclasses.field(default_factory=dict)
    asked: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    quiet: int = 0
    storm_since: float | None = None
    storm_ended: float | None = None
    storm_noted: bool = True
    not_before: dict[str, tuple[float, int]] = dataclasses.field(default_factory=dict)


def storm(memory: Memory, snapshot: Json, policy: Json, now: float) -> Json:
    """The fact ``storm`` of the snapshot, by what was heard before and now."""
    if _gates.storms(snapshot, policy):
        memory.storm_since = now if memory.storm_since is None else memory.storm_since
    else:
        calm(memory, now)
    since, ended = memory.storm_since, memory.storm_ended
    return {
        "silent_for": None if since is None else now - since,
        "ended_ago": None if ended is None or since is not None else now - ended,
    }


def calm(memory: Memory, now: float) -> None:
    """No storm is seen."""
    if memory.storm_since is not None:
        memory.storm_since, memory.storm_ended = None, now


def later(mine: Json, noted: Json) -> Json:
    """Of what was seen here and what stands in the journal, what keeps hands off for longer."""
    ages = [it["ended_ago"] for it in (mine, noted) if it["ended_ago"] is not None]
    silent = [it["silent_for"] for it in (mine, noted) if it["silent_for"] is not None]
    return {"silent_for": max(silent, default=None), "ended_ago": None if silent else min(ages, default=None)}


def due(memory: Memory, verdicts: t.Mapping[str, Json], now: float) -> dict[str, Json]:
    """The verdicts without those hosts whose recovery has just been tried and is to be tried again later."""
    return {
        host: verdict
        for host, verdict in verdicts.items()
        if verdict["verdict"] != "recover" or now >= memory.not_before.get(host, (0.0, 0))[0]
    }


def news(memory: Memory, verdicts: t.Mapping[str, Json], suspects: t.Collection[str]) -> list[str]:
    """The hosts whose verdict is not what it was at the last look; forgets those that are no suspects any more.

    A question is news again when there are further suspects: an answer is one to what was known when it was asked.
    """
    found = {host: _said(verdict) for host, verdict in verdicts.items()}
    changed = [
        host
        for host, what in found.items()
        if memory.said.get(host) != what or (what[0] == "ask" and not memory.asked[host].issuperset(suspects))
    ]
    memory.asked.update(dict.fromkeys(changed, frozenset(suspects)))
    memory.quiet = 0 if changed or not found else memory.quiet + 1
    memory.said = found
    return changed


def _said(verdict: Json) -> tuple[str, str | None, str]:
    return verdict["verdict"], verdict["gate"], verdict["reason"] if verdict["verdict"] == "ask" else ""


def next_look(memory: Memory) -> float:
    """Seconds until the next look."""
    return min(LOOK * 2 ** min(memory.quiet // 3, 10), _LONGEST_LOOK)


def together(hosts: t.Iterable[str], segment: t.Callable[[str], str | None]) -> list[list[str]]:
    """One run for each failover segment: its hosts are planned together, and slow BMCs hold up no other segment."""
    groups: dict[str | None, list[str]] = {}
    for host in sorted(hosts):
        groups.setdefault(segment(host), []).append(host)
    return list(groups.values())


def heard_again(memory: Memory, verdicts: t.Mapping[str, Json], suspects: t.Collection[str]) -> list[str]:
    """Former suspects that are none any more, and that nothing was done to, or in vain. Call it before :func:`news`."""
    waiting = {host for host, (verdict, _gate, _reason) in memory.said.items() if verdict != "recover"}
    return sorted((waiting - set(verdicts)) | (set(memory.not_before) - set(suspects)))


def ended(memory: Memory, host: str, outcome: str, now: float, due_in: float | None = None) -> None:
    """A run on the host has ended; what did not end well is taken up again later, and later each time.

    :param due_in: Seconds until the next deadline of an owner to whom a VM is left.
    """
    _when, times = memory.not_before.get(host, (0.0, 0))
    if outcome == "recovered":
        memory.not_before.pop(host, None)
    else:
        pause = min(AGAIN.get(outcome, 60.0) * 2**times, _LONGEST)
        memory.not_before[host] = (now + (pause if due_in is None else min(pause, due_in)), times + 1)
