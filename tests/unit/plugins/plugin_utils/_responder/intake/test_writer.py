# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio
import threading
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.writer import Busy, Writer

PATIENCE = 60.0


class Journal:
    """Takes rows as the real one does, and can be held in the midst of it."""

    def __init__(self) -> None:
        self.batches: list[list[t.Any]] = []
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.error: Exception | None = None
        self.go_on.set()

    def accept(self, rows: list[t.Any]) -> list[str]:
        self.begun.release()
        assert self.go_on.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        if {"n": "poison"} in rows:
            raise RuntimeError("cannot write that")
        self.batches.append(rows)
        return [f"new {row['n']}" for row in rows]


def row(number: t.Any) -> dict[str, t.Any]:
    return {"n": number}


@pytest.fixture
def journal() -> t.Iterator[Journal]:
    made = Journal()
    yield made
    made.go_on.set()


def run(writer: Writer, work: t.Callable[[], t.Awaitable[t.Any]]) -> t.Any:
    """Run it with the writer started, and end the writer."""
    writer.start()
    try:
        return asyncio.run(asyncio.wait_for(work(), PATIENCE))
    finally:
        writer.close(PATIENCE)


async def held(journal: Journal, writer: Writer, *requests: list[t.Any]) -> list[asyncio.Task[list[str]]]:
    """Requests that come while the first is being written, in a given order."""
    journal.go_on.clear()
    tasks = []
    for number, rows in enumerate(requests):
        before = writer.waiting
        tasks.append(asyncio.ensure_future(writer.accept(rows)))
        while writer.waiting == before:
            await asyncio.sleep(0)
        if number == 0:
            await asyncio.to_thread(journal.begun.acquire)
    return tasks


def test_what_comes_while_a_commit_is_under_way_is_written_together_and_each_gets_its_own_outcome(
    journal: Journal,
) -> None:
    writer = Writer(journal.accept, batch=4)

    async def work() -> t.Any:
        tasks = await held(
            journal, writer, [row(1)], [row(2), row(3)], [row(4), row(5)], [row(n) for n in range(6, 12)]
        )
        journal.go_on.set()
        return await asyncio.gather(*tasks)

    outcomes = run(writer, work)
    assert outcomes[:3] == [["new 1"], ["new 2", "new 3"], ["new 4", "new 5"]]
    assert [[it["n"] for it in batch] for batch in journal.batches] == [[1], [2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert writer.waiting == 0


def test_no_more_is_queued_than_may_wait(journal: Journal) -> None:
    writer = Writer(journal.accept, queue=3)

    async def work() -> None:
        tasks = await held(journal, writer, [row(1)], [row(2), row(3)])
        with pytest.raises(Busy, match="3 signals wait"):
            await writer.accept([row(4)])
        journal.go_on.set()
        await asyncio.gather(*tasks)
        assert await writer.accept([row(5)]) == ["new 5"]

    run(writer, work)


def test_when_the_journal_is_away_all_who_wait_are_told_and_later_ones_are_written(journal: Journal) -> None:
    writer = Writer(journal.accept)

    async def work() -> None:
        tasks = await held(journal, writer, [row(1)], [row(2)])
        journal.error = JournalError("disk full")
        journal.go_on.set()
        assert [str(it) for it in await asyncio.gather(*tasks, return_exceptions=True)] == ["disk full"] * 2
        journal.error = None
        assert await writer.accept([row(3)]) == ["new 3"]

    run(writer, work)
    assert journal.batches == [[row(3)]]


def test_one_that_cannot_be_written_costs_the_others_nothing(journal: Journal) -> None:
    writer = Writer(journal.accept)

    async def work() -> t.Any:
        tasks = await held(journal, writer, [row(1)], [row(2)], [row("poison")], [row(3)])
        journal.go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = run(writer, work)
    assert (outcomes[1], outcomes[3]) == (["new 2"], ["new 3"])
    assert isinstance(outcomes[2], JournalError)


def test_somebody_is_told_after_each_commit(journal: Journal) -> None:
    told: list[t.Any] = []
    writer = Writer(journal.accept, written=lambda rows, outcomes: told.append((rows, outcomes)))
    run(writer, lambda: writer.accept([row(1)]))
    assert told == [([row(1)], ["new 1"])]


def test_whoever_is_told_and_fails_does_not_end_the_writer(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    def fails(rows: t.Any, outcomes: t.Any) -> None:
        raise ZeroDivisionError

    writer = Writer(journal.accept, written=fails)

    async def work() -> t.Any:
        return [await writer.accept([row(1)]), await writer.accept([row(2)])]

    assert run(writer, work) == [["new 1"], ["new 2"]]
    assert "ZeroDivisionError" in caplog.text


def test_who_goes_away_does_not_disturb_the_others(journal: Journal) -> None:
    writer = Writer(journal.accept)

    async def work() -> t.Any:
        tasks = await held(journal, writer, [row(1)], [row(2)], [row(3)])
        tasks[1].cancel()
        journal.go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = run(writer, work)
    assert (outcomes[0], outcomes[2]) == (["new 1"], ["new 3"])


def test_what_is_queued_is_written_before_the_end_and_nothing_is_taken_after_it(journal: Journal) -> None:
    writer = Writer(journal.accept)
    writer.start()

    async def work() -> t.Any:
        tasks = await held(journal, writer, [row(1)], [row(2)])
        journal.go_on.set()
        await asyncio.to_thread(writer.close, PATIENCE)
        with pytest.raises(Busy, match="ending"):
            await writer.accept([row(3)])
        return await asyncio.gather(*tasks)

    assert asyncio.run(asyncio.wait_for(work(), PATIENCE)) == [["new 1"], ["new 2"]]


def test_who_waits_at_an_end_without_patience_is_told(journal: Journal) -> None:
    writer = Writer(journal.accept)
    writer.start()

    async def work() -> t.Any:
        tasks = await held(journal, writer, [row(1)], [row(2)])
        writer.close(0)
        with pytest.raises(JournalError, match="ending"):
            await tasks[1]
        journal.go_on.set()
        return await tasks[0]

    assert asyncio.run(asyncio.wait_for(work(), PATIENCE)) == ["new 1"]
