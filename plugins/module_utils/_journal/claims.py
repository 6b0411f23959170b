# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Claims: who may act on a host. PRIVATE to this collection: may change at any time.

A claim is taken by compare-and-swap, never with ``SELECT … FOR UPDATE`` or ``GET_LOCK``: on Galera
two nodes grant the same lock. No wall clock is compared: a contender takes a claim over after it has
itself seen its beats stand still for the holder's lease, or at once when it can see on this
machine that the holder's process is gone.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder as holders
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import HOST
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported when the journal is opened

Key = t.Tuple[str, str]
Alive = t.Callable[[holders.Holder], t.Optional[bool]]

LEASE_SECONDS = 30.0

_NOT_TAKEN = "Nothing was taken over and nothing was changed; what is still to be done is taken up by another run."


class _Raced(Exception):
    """A claim changed between our look and our swap."""


def judge(now: Row, first: Row, run_id: str, alive: bool | None, still: float) -> str:
    """What to do about one claim: ``take`` it, keep our ``own``, ``watch`` it, or leave it ``held``.

    :param now: The claim as it is.
    :param first: The claim as it was when we looked first.
    :param alive: Whether its holder lives; None when that cannot be told from here.
    :param still: Seconds between the end of the first look and the start of this one.
    """
    if now["run_id"] is None:
        return "take"
    if now["run_id"] == run_id:
        return "own"
    if alive is not None:
        return "held" if alive else "take"
    if _mark(now) != _mark(first):
        return "held"
    return "take" if still >= now["lease_seconds"] else "watch"


def take(
    journal: Journal,
    scope_hosts: t.Iterable[Key],
    run_id: str,
    holder: holders.Holder,
    lease_seconds: float = LEASE_SECONDS,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
    alive: Alive = holders.is_alive,
    say: t.Callable[[str], None] = lambda message: None,
) -> dict[str, int]:
    """Claim all of these hosts for a run, or none; return the fencing token of each.

    :param scope_hosts: Pairs of cloud region and host.
    :param holder: See ``holder.describe()``; the claim can be taken at once when this process is gone.
    :param lease_seconds: How long others must see no beat before they take the claims over.
    :param say: Told once when a claim must be watched.
    :raises ClaimHeld: Another run holds one of them.
    """
    keys = sorted(set(scope_hosts))
    new = {"run_id": run_id, "holder": holder, "lease_seconds": lease_seconds}
    _make_rows(journal, keys)
    first, since = _look(journal, keys), clock()
    told = False
    while True:
        before = clock()
        now = _look(journal, keys)
        todo = {
            key: judge(now[key], first[key], run_id, alive(now[key]["holder"] or {}), before - since) for key in keys
        }
        _refuse_held(now, todo)
        watched = [now[key] for key in keys if todo[key] == "watch"]
        if watched:
            if not told:
                say(f"Watching for {watched[0]['lease_seconds']:g} s whether {_who(watched[0])} still lives")
            told = True
            sleep(min(1.0, max(0.02, min(claim["lease_seconds"] for claim in watched) / 10)))
        elif _swap(journal, [now[key] for key in keys if todo[key] == "take"], new):
            return {key[1]: int(now[key]["token"]) + (todo[key] == "take") for key in keys}


def opener() -> holders.Holder:
    """The holder of a run that this process opens for another to take over, see :func:`take_over`."""
    return holders.describe(monotonic=time.monotonic(), hands_over=True)


def take_over(journal: Journal, run_id: str, hosts: t.Iterable[str], holder: holders.Holder) -> dict[str, int]:
    """Make another process the holder of an open run and of its claims on these hosts; return their new tokens.

    Who opened the run, and has kept the claims since, cannot renew them any more.

    :raises ClaimHeld: The run has ended, does not hold all of them, or is not held by who hands it over.
    """
    wanted = sorted(set(hosts))
    run, found = journal.run(run_id), held(journal, run_id, wanted)
    _refuse_take_over(run, wanted, found)
    claims, runs = table("claims"), table("runs")

    def work(connection: sa.Connection) -> None:
        is_open = sa.and_(runs.c.id == run_id, runs.c.state == "open")
        if connection.execute(runs.update().where(is_open).values(holder=holder)).rowcount != 1:
            raise _Raced
        for claim in found:
            # Not its beats: who hands it over goes on renewing it.
            same = [claims.c[key] == claim[key] for key in ("scope", "host", "run_id", "token")]
            values = {"holder": holder, "token": claim["token"] + 1, "taken_at": rows.now()}
            if connection.execute(claims.update().where(*same).values(values)).rowcount != 1:
                raise _Raced

    try:
        journal.database.write(work)
    except _Raced:
        raise ClaimHeld(f"Run {run_id} was ended, or its claims were taken, at this moment. {_NOT_TAKEN}") from None
    return {str(claim["host"]): int(claim["token"]) + 1 for claim in found}


def release(journal: Journal, run_id: str, hosts: t.Iterable[str]) -> int:
    """Free the claims that a run holds on these hosts; return how many it still held."""
    claims = table("claims")
    statement = (
        claims.update()
        .where(claims.c.run_id == run_id, claims.c.host.in_(sorted(set(hosts))))
        .values(run_id=None, holder=None, taken_at=None)
    )
    return journal.database.write(lambda connection: connection.execute(statement).rowcount)


def held(journal: Journal, run_id: str, hosts: t.Iterable[str]) -> list[Row]:
    """The claims that a run holds on these hosts."""
    return rows.rows(
        journal.database, rows.matching("claims", {"run_id": run_id, "host": list(hosts)}, ["scope", "host"])
    )


def of_run(journal: Journal, run_id: str) -> list[Row]:
    """All claims that a run holds."""
    return rows.rows(journal.database, rows.matching("claims", {"run_id": run_id}, ["scope", "host"]))


def taken(journal: Journal, scope: str) -> list[Row]:
    """The claims that any run holds, with the ``kind`` of the run."""
    claims, runs = table("claims"), table("runs")
    query = (
        sa.select(claims, sa.func.coalesce(runs.c.kind, HOST).label("kind"))
        .join_from(claims, runs, runs.c.id == claims.c.run_id, isouter=True)
        .where(claims.c.scope == scope, claims.c.run_id.is_not(None))
        .order_by(claims.c.host)
    )
    return rows.rows(journal.database, query)


def _refuse_take_over(run: Row, hosts: list[str], found: list[Row]) -> None:
    lost = sorted(set(hosts) - {claim["host"] for claim in found})
    if run["state"] != "open":
        raise ClaimHeld(f"Run {run['id']} is {run['state']}, since {run['closed_at']}. {_NOT_TAKEN}")
    if lost or not found:
        raise ClaimHeld(f"Run {run['id']} has lost its claim on {', '.join(lost) or 'every host'}. {_NOT_TAKEN}")
    for claim in found:
        if not (claim["holder"] or {}).get("hands_over"):
            raise ClaimHeld(f"Run {run['id']} is at work: {holders.words(claim['holder'])} holds it. {_NOT_TAKEN}")


def _mark(claim: Row) -> tuple[t.Any, ...]:
    return (claim["run_id"], claim["token"], claim["beats"])


def _who(claim: Row) -> str:
    who = f"run {claim['run_id']} of {holders.words(claim['holder'])}"
    return f"{who}, which claimed {claim['host']} at {claim['taken_at']},"


def _refuse_held(claims: dict[Key, Row], todo: dict[Key, str]) -> None:
    for key, answer in todo.items():
        if answer == "held":
            claim = claims[key]
            raise ClaimHeld(
                f"Cannot claim {claim['host']}: {_who(claim)} is at work on it. Wait for it, or end that process; "
                "then run again. Nothing was claimed.",
                claim=claim,
            )


def _make_rows(journal: Journal, keys: list[Key]) -> None:
    existing = _look(journal, keys)
    for scope, host in keys:
        if (scope, host) not in existing:
            free = {"scope": scope, "host": host, "token": 0, "beats": 0, "lease_seconds": 0.0}
            rows.insert_if_missing(journal.database, "claims", free)


def _look(journal: Journal, keys: list[Key]) -> dict[Key, Row]:
    filters = {"scope": [scope for scope, _host in keys], "host": [host for _scope, host in keys]}
    found = rows.rows(journal.database, rows.matching("claims", filters))
    return {(claim["scope"], claim["host"]): claim for claim in found}


def _swap(journal: Journal, found: list[Row], new: Row) -> bool:
    """Take all these claims, in the order given, unless one of them has changed."""
    claims = table("claims")

    def work(connection: sa.Connection) -> None:
        for claim in found:
            same = [claims.c[key] == claim[key] for key in ("scope", "host", "run_id", "token", "beats")]
            values = {**new, "token": claim["token"] + 1, "taken_at": rows.now()}
            if connection.execute(claims.update().where(*same).values(values)).rowcount != 1:
                raise _Raced

    try:
        journal.database.write(work)
    except _Raced:
        return False
    return True
