# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind ``network``: tells which networks this host has lost. PRIVATE to this collection: may change at any time.

A pulled cable is told at once, as the kernel says so. That nobody answers on a network is believed only after some
looks in a row, so a switch that is busy for a moment makes no signal: by default it is lost after 3 looks, 2 s apart,
and back after 2.
"""

from __future__ import annotations

import selectors
import threading
import typing as t

from . import links
from .config import Config, Network
from .errors import MonitorError
from .links import Judge, Seen
from .state import Board

Look = t.Callable[[t.Sequence[Network]], t.Dict[str, Seen]]


class Watch:
    """The networks of this host and what is said about them."""

    def __init__(self, config: Config, board: Board, look: Look) -> None:
        options = config.section("network")
        self._networks = {it.name: it for it in config.networks}
        self._judges = {it: Judge(options["failures"], options["successes"]) for it in self._networks}
        self._board, self._look = board, look
        for state in board.states("network"):
            if state.object not in self._networks:
                board.forget("network", state.object)

    def step(self) -> None:
        """Look at all of them, and say what has changed."""
        for name, seen in self._look(list(self._networks.values())).items():
            state = self._judges[name].see(seen)
            if state:
                self._say(self._networks[name], state, seen)
        self._board.alive("network")

    def _say(self, network: Network, state: str, seen: Seen) -> None:
        self._board.set(
            "network",
            network.name,
            state,
            "ok" if state == "ok" else "lost",
            seen.detail,
            interface=network.interface,
            link=seen.link,
            answered=seen.answered,
        )


def look(networks: t.Sequence[Network], timeout: float) -> dict[str, Seen]:
    """One look at all networks; of one whose link is down nobody is asked anything."""
    states = {it.name: links.link(it.interface) for it in networks if it.interface}
    asked = [it for it in networks if it.check and states.get(it.name, (True, ""))[0]]
    answers = links.reach(asked, timeout)
    return {it.name: _seen(states.get(it.name), answers.get(it.name)) for it in networks}


def _seen(state: tuple[bool, str] | None, answer: tuple[bool, str] | None) -> Seen:
    detail = "; ".join(it[1] for it in (state, answer) if it)
    return Seen(state[0] if state else None, answer[0] if answer else None, detail)


def run(config: Config, board: Board, stop: threading.Event) -> None:
    """Watch until told to stop."""
    watched = [it for it in config.networks if it.interface or it.check]
    if not watched:
        raise MonitorError("networks: none has an interface or addresses to check, so there is nothing to watch")
    options = config.section("network")
    watch = Watch(config, board, lambda networks: look(networks, options["timeout"]))
    changes = links.events()
    with selectors.DefaultSelector() as selector:
        if changes is not None:
            selector.register(changes, selectors.EVENT_READ)
        while not stop.is_set():
            watch.step()
            _pause(stop, selector, changes, options["interval"])
    if changes is not None:
        changes.close()


def _pause(stop: threading.Event, selector: selectors.BaseSelector, changes: t.Any, interval: float) -> None:
    """Until it is time for the next look, or a link has changed."""
    left = interval
    while left > 0 and not stop.is_set():
        part = min(left, 0.5)
        if changes is None:
            stop.wait(part)
        elif selector.select(part):
            links.drain(changes)
            return
        left -= part
