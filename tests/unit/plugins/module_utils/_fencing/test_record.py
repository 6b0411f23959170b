from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, Paused, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.record import Record


class FakeRun:
    """A run that keeps what was asked of it."""

    id = "run7"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.orders: RecoveryError | None = None
        self.broken: RecoveryError | None = None
        self.journal = types.SimpleNamespace(add_certificate=lambda *row: self.calls.append("certificate"))
        self.lease = types.SimpleNamespace(renew=lambda host: self.calls.append("renew"))

    def step(self, name: str, host: str) -> None:
        if self.broken:
            raise self.broken
        self.calls.append(name)

    def check(self) -> None:
        self.calls.append("check")
        if self.orders:
            raise self.orders


def record(run: FakeRun | None) -> Record:
    return Record(t.cast(t.Any, run), "cmp03")


def test_the_step_is_written_before_the_orders_are_read_and_once() -> None:
    run = FakeRun()
    kept = record(run)
    kept.before_power_off()
    kept.before_power_off()
    kept.fenced({})
    assert run.calls == ["fencing", "check", "renew", "certificate", "fenced"]


def test_no_device_of_a_level_is_commanded_once_an_operator_has_said_no() -> None:
    run = FakeRun()
    run.orders = Paused("let me look first")
    kept = record(run)
    for _device in range(2):
        with pytest.raises(Paused):
            kept.before_power_off()


def test_a_fencing_that_was_begun_is_ended_whatever_is_ordered_meanwhile() -> None:
    run = FakeRun()
    kept = record(run)
    kept.before_power_off()
    run.orders = Paused("too late")
    kept.before_power_off()
    kept.while_waiting()


def test_a_wait_before_the_first_command_ends_with_an_order() -> None:
    run = FakeRun()
    run.orders = Paused("let me look first")
    with pytest.raises(Paused):
        record(run).while_waiting()


def test_a_failure_is_written_and_a_journal_that_is_gone_does_not_hide_it() -> None:
    run = FakeRun()
    record(run).not_fenced()
    assert run.calls == ["not fenced"]
    run.broken = LeaseLost("the journal is gone")
    record(run).not_fenced()


def test_without_a_run_there_is_nobody_to_ask() -> None:
    alone = record(None)
    alone.before_power_off()
    alone.while_waiting()
    alone.fenced({})
    alone.not_fenced()
