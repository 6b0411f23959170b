"""Fencing devices, a clock and an outside world in memory."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    ON,
    Device,
    FencingError,
    Identity,
    Level,
    World,
)

NOW = "2026-11-21T03:00:00.000+00:00"


class Clock:
    """Monotonic time that passes only when somebody waits or works."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds
            self.waits.append(seconds)


def unexpected(*args: t.Any, **kwargs: t.Any) -> t.Any:
    raise AssertionError(f"nobody should have called this: {args} {kwargs}")


def fake_world(clock: Clock | None = None, **parts: t.Any) -> World:
    """A world in which everything that is not given fails the test."""
    clock = clock or Clock()
    defaults: dict[str, t.Any] = {
        "run": unexpected,
        "http": unexpected,
        "probe": unexpected,
        "clock": clock,
        "wait": clock.wait,
        "utc": lambda: NOW,
    }
    return World(**{**defaults, **parts})


class FakeDevice(Device):
    """A device with a real power state behind it, and the ways in which real ones misbehave."""

    NAME = "ipmi"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {"password": {"type": "str", "no_log": True}}

    def __init__(
        self,
        clock: Clock,
        power: str = ON,
        *,
        told: Identity | Exception | None = None,
        answer: str | Exception = "accepted",
        off_after: float | None = 0.0,
        read_errors: t.Sequence[Exception | None] = (),
        lies: bool = False,
        name: str = "bmc",
    ) -> None:
        super().__init__({"address": name, "password": "hunter2"}, fake_world(clock))
        self.clock = clock
        self.power = power
        self.told = told or {}
        self.answer = answer
        self.off_after = off_after
        self.read_errors = list(read_errors)
        self.lies = lies
        self.off_at: float | None = None
        self.commands: list[float] = []
        self.timeouts: list[float] = []

    def identity(self, timeout: float) -> Identity:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def power_state(self, timeout: float) -> str:
        self.timeouts.append(timeout)
        if self.read_errors:
            error = self.read_errors.pop(0)
            if error:
                raise error
        return OFF if self.lies and self.commands else self.really()

    def power_off(self, timeout: float) -> str:
        self.timeouts.append(timeout)
        self.commands.append(self.clock.now)
        if self.off_after is not None:
            self.off_at = self.clock.now + self.off_after
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def really(self) -> str:
        """The truth, which only the test knows."""
        return OFF if self.off_at is not None and self.clock.now >= self.off_at else self.power


def level(*devices: Device, number: int = 1, timeout: float = 10.0, tries: int = 1) -> Level:
    return Level(number=number, devices=list(devices), timeout=timeout, tries=tries)


def broken(text: str = "no answer") -> FencingError:
    return FencingError(text)
