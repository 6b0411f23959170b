# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts simulated clocks, ids and threads under the real code. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import contextlib
import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates, _recovery, _snapshot
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import levels
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, claims, holder, rows
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.executor import probe
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site


@contextlib.contextmanager
def simulated(site: Site, gates: t.Sequence[t.Any] | None = None) -> t.Iterator[None]:
    """While this lasts, the journal knows only simulated time, and fencing devices work in simulated threads.

    :param gates: Decide with these gates instead of all.
    """
    claim = functools.partial(claims.take, clock=site.monotonic, sleep=site.processes.sleep, alive=alive(site))

    def take(*args: t.Any, **more: t.Any) -> t.Any:
        taken = claim(*args, **more)
        site.reached("claimed")
        return taken

    with contextlib.ExitStack() as stack:
        for module, name, value in (
            (rows, "now", site.wall_text),
            (rows, "new_id", site.new_id),
            (ages, "mark", lambda database: _mark(site)),
            (holder, "is_alive", alive(site)),
            (_recovery, "is_alive", alive(site)),
            (levels, "_in_parallel", site.processes.parallel),
            (claims, "take", take),
            (site.journal.database, "read", _reached(site, site.journal.database.read)),
            (site.journal.database, "write", _reached(site, site.journal.database.write)),
            (_snapshot, "probe", lambda urls, timeout: probe(site, site.here(), urls, timeout)),
        ):
            stack.enter_context(_put(module, name, value))
        stack.enter_context(_put(_gates, "decide", _noting(site, _gates.GATES if gates is None else gates)))
        yield


def _mark(site: Site) -> Json:
    """The journal is on a database server, whose clock is right."""
    return {"boot_id": site.boot_id(), "monotonic": site.monotonic(), "at": site.clock.time}


def _reached(site: Site, work: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """What a machine that is cut off cannot do."""

    def asked(*args: t.Any, **more: t.Any) -> t.Any:
        site.await_journal()
        return work(*args, **more)

    return asked


def _noting(site: Site, gates: t.Sequence[t.Any]) -> t.Callable[..., Json]:
    """Decide with these gates, and keep which of them decided anything."""
    decide = functools.partial(_gates.decide, gates=tuple(gates))

    def noted(snapshot: Json, policy: Json) -> Json:
        verdicts = decide(snapshot, policy)
        site.decided.update(verdict["gate"] for verdict in verdicts.values() if verdict["gate"])
        return verdicts

    return noted


def alive(site: Site) -> t.Callable[[t.Mapping[str, t.Any]], bool | None]:
    """Whether a holder's process lives, as far as the machine that asks can tell."""

    def ask(holder_: t.Mapping[str, t.Any]) -> bool | None:
        if not holder_.get("boot_id") or holder_["boot_id"] != site.boot_id():
            return None
        return site.processes.alive(str(holder_["process"]))

    return ask


@contextlib.contextmanager
def _put(module: t.Any, name: str, value: t.Any) -> t.Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
