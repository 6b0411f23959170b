"""What an interval and a silence of heartbeats cost and bring; and a day of lost packets.

Each beat is one packet, lost or not by itself with some probability. A responder takes a host for lost on a network
when its last beat is ``silence`` seconds old. Nothing here sleeps: a day of one network is the positions of its lost
beats.
"""

from __future__ import annotations

import dataclasses
import math
import random
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from tree import collections_path  # noqa: E402

sys.path.insert(0, str(collections_path()))

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.heartbeat import (  # noqa: E402
    Receiver,
    Sender,
)

DAY = 24 * 3600.0
YEAR = 365 * DAY
#: Between two looks of a responder at who has fallen silent.
TICK = 0.1
#: Ethernet, IP and UDP around each datagram.
AROUND = 14 + 20 + 8


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is configured, and what the network loses."""

    interval: float = 0.5
    silence: float = 2.5
    loss: float = 0.01

    @property
    def tolerated(self) -> int:
        """How many beats in a row may be lost; a beat that is a little late must not make the difference."""
        return math.ceil(round(self.silence / self.interval, 6)) - 2

    @property
    def worst(self) -> float:
        """Seconds from the pulled plug to the word that the host is lost, when it had just beaten."""
        return self.silence + TICK

    @property
    def mean(self) -> float:
        """The same, on the average of all moments."""
        return self.silence - self.interval / 2 + TICK / 2

    def false_in(self, seconds: float) -> float:
        """How often a responder takes a host that lives for lost on one network."""
        beats = seconds / self.interval
        return beats * self.loss ** (self.tolerated + 1) * (1 - self.loss)


def lost_beats(beats: int, loss: float, chance: random.Random) -> t.Iterator[int]:
    """The numbers of those that are lost: gaps between them are geometric."""
    at, denominator = -1, math.log1p(-loss)
    while True:
        at += 1 + int(math.log(1.0 - chance.random()) / denominator)
        if at >= beats:
            return
        yield at


def silences(setting: Setting, seconds: float, chance: random.Random) -> list[tuple[float, float]]:
    """When a responder takes a host for lost on one network, from when until when."""
    found: list[tuple[float, float]] = []
    run, last = 0, -2
    for at in lost_beats(int(seconds / setting.interval), setting.loss, chance):
        run = run + 1 if at == last + 1 else 1
        last = at
        if run > setting.tolerated:
            began = (at - run) * setting.interval + setting.silence
            if run > setting.tolerated + 1:
                found.pop()
            found.append((began, max(began, (at + 1) * setting.interval)))
    return found


def overlaps(spans: t.Sequence[t.Sequence[tuple[float, float]]], needed: int) -> list[float]:
    """When as many of these are silent at the same time."""
    changes = sorted([(it[0], 1) for span in spans for it in span] + [(it[1], -1) for span in spans for it in span])
    found, silent = [], 0
    for moment, change in changes:
        silent += change
        if silent == needed and change > 0:
            found.append(moment)
    return found


@dataclasses.dataclass
class Day:
    """What a day of lost packets has brought: words of one responder about one network, about a host, and verdicts."""

    beats: int = 0
    words: int = 0
    down: int = 0
    verdicts: int = 0


def simulate(
    setting: Setting, hosts: int, responders: int = 3, networks: int = 2, seconds: float = DAY, seed: int = 1
) -> Day:
    """A host is down for a responder that hears it on no network; the verdict needs a majority of these."""
    day, chance = Day(), random.Random(seed)
    for _host in range(hosts):
        deaf = []
        for _responder in range(responders):
            lanes = [silences(setting, seconds, chance) for _network in range(networks)]
            day.beats += int(seconds / setting.interval) * networks
            day.words += sum(map(len, lanes))
            down = overlaps(lanes, networks)
            day.down += len(down)
            deaf.append([(it, it + setting.silence) for it in down])
        day.verdicts += len(overlaps(deaf, responders // 2 + 1))
    return day


def sizes(host: str = "compute-0001.example.org", network: str = "storage") -> tuple[int, int]:
    """Bytes of a beat and of its answer on the wire."""
    beat = Sender(host, network, b"key").beat(False, 1.0)
    heard = Receiver(lambda _host: [b"key"]).take(beat)
    return len(beat) + AROUND, len(heard.answer if heard else b"") + AROUND


def trade_off() -> list[str]:
    """Interval by silence: how soon, and how often wrong."""
    lines = [
        "| interval | silence | lost after: mean | worst | beats lost in a row "
        "| false words per 1,000 hosts and year at 0.1 % loss | 1 % | 5 % |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for interval in (0.2, 0.5, 1.0, 2.0):
        for times in (3, 5, 8):
            setting = Setting(interval, interval * times)
            rates = [dataclasses.replace(setting, loss=loss).false_in(YEAR) * 1000 for loss in (0.001, 0.01, 0.05)]
            lines.append(
                f"| {interval:g} s | {setting.silence:g} s | {setting.mean:.2f} s | {setting.worst:.2f} s "
                f"| {setting.tolerated + 1} | {' | '.join(map(number, rates))} |"
            )
    return lines


def traffic(responders: int = 3, networks: int = 2) -> list[str]:
    """Packets and bytes at one responder and in all, beats and answers together."""
    beat, answer = sizes()
    lines = [
        f"A beat of {beat} bytes and its answer of {answer}; {networks} networks, {responders} responders.",
        "",
        "| hosts | interval | packets/s at one responder | bytes/s there | packets/s of one host |",
        "|---:|---:|---:|---:|---:|",
    ]
    for interval in (0.5, 1.0):
        for hosts in (10, 100, 1000, 10000):
            beats = hosts * networks / interval
            own = 2 * networks * responders / interval
            lines.append(
                f"| {hosts:,} | {interval:g} s | {2 * beats:,.0f} | {number(beats * (beat + answer))} | {own:g} |"
            )
    return lines


def number(value: float) -> str:
    """Short, whatever its size."""
    if value and (value < 0.01 or value >= 1e7):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main() -> None:
    """Print it all."""
    print("\n".join([*trade_off(), "", *traffic(), ""]))
    for loss in (0.01, 0.05):
        day = simulate(Setting(loss=loss), hosts=100)
        print(f"24 h, 100 hosts, {loss:.0%} loss, defaults: {dataclasses.asdict(day)}")


if __name__ == "__main__":
    main()
