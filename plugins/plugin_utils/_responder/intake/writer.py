# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what many requests bring in few transactions. PRIVATE to this collection: may change at any time.

One commit costs as much for 500 signals as for one, so what comes while a commit is under way waits for the next. What
one request brings is never divided: it is in the journal, or none of it is.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError

LOG = logging.getLogger(__name__)
Row = t.Dict[str, t.Any]
Accept = t.Callable[[t.List[Row]], t.List[str]]
Written = t.Callable[[t.List[Row], t.List[str]], None]

_PATIENCE = 10.0  # seconds that close() waits for what is queued


class Busy(RecoveryError):
    """More is waiting to be written than may wait."""


@dataclasses.dataclass
class _Item:
    rows: list[Row]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[list[str]]


class Writer:
    """A queue and the thread that empties it.

    :param accept: Writes rows in one transaction and says of each what it was; may raise JournalError.
    :param written: Called after each commit, in the thread: something is to be decided.
    :param queue: How many rows may wait.
    :param batch: How many rows go into one transaction, if no single request brings more.
    """

    def __init__(self, accept: Accept, written: Written | None = None, queue: int = 20000, batch: int = 500) -> None:
        self._accept, self._written = accept, written
        self._most, self._batch = queue, batch
        self._items: collections.deque[_Item] = collections.deque()
        self._waiting = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return self._waiting

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._work, name="signals-writer", daemon=True)
        self._thread.start()

    def close(self, patience: float = _PATIENCE) -> None:
        """Take nothing more; write what is queued, or give up on it when the patience is over."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread:
            self._thread.join(patience)
        with self._changed:
            left = list(self._items)
            self._items.clear()
        for item in left:
            _end(item, JournalError("The responder is ending; send the signals again."))

    async def accept(self, rows: list[Row]) -> list[str]:
        """Wait until the rows are in the journal.

        :raises Busy: Too much is waiting; nothing was queued.
        :raises JournalError: They are not in the journal as far as is known.
        """
        loop = asyncio.get_running_loop()
        item = _Item(rows, loop, loop.create_future())
        with self._changed:
            if self._closing:
                raise Busy("The responder is ending; send the signals again.")
            if self._waiting + len(rows) > self._most:
                raise Busy(f"{self._waiting} signals wait to be written; send these again.")
            self._items.append(item)
            self._waiting += len(rows)
            self._changed.notify_all()
        return await item.done

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._closing)
                if not self._items:
                    return
                taken = self._take()
            self._write(taken)
            with self._changed:
                self._waiting -= sum(len(item.rows) for item in taken)

    def _take(self) -> list[_Item]:
        taken, size = [self._items.popleft()], 0
        size = len(taken[0].rows)
        while self._items and size + len(self._items[0].rows) <= self._batch:
            taken.append(self._items.popleft())
            size += len(taken[-1].rows)
        return taken

    def _write(self, items: list[_Item]) -> None:
        rows = [row for item in items for row in item.rows]
        try:
            outcomes = self._accept(rows)
        except JournalError as error:
            self._failed(items, error)
            return
        except Exception as error:  # what one request brought must not cost the others theirs
            self._apart(items, error)
            return
        told = iter(outcomes)
        for item in items:
            _end(item, [next(told) for _row in item.rows])
        self._tell(rows, outcomes)

    def _tell(self, rows: list[Row], outcomes: list[str]) -> None:
        if self._written is None:
            return
        try:
            self._written(rows, outcomes)
        except Exception:  # a thread that ends would end all intake
            LOG.exception("what should happen after a commit failed")

    def _failed(self, items: list[_Item], error: JournalError) -> None:
        for item in items:
            _end(item, error)

    def _apart(self, items: list[_Item], error: Exception) -> None:
        if len(items) == 1:
            _end(items[0], JournalError(f"The journal could not take what was sent: {error!r}"))
            return
        for item in items:
            self._write([item])


def _end(item: _Item, result: list[str] | JournalError) -> None:
    def end() -> None:
        if item.done.done():
            return  # who asked has gone away
        if isinstance(result, JournalError):
            item.done.set_exception(result)
        else:
            item.done.set_result(result)

    try:
        item.loop.call_soon_threadsafe(end)
    except RuntimeError:  # its loop is closed: nobody waits any more
        return
