# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fencing method is, and what it gets from outside. PRIVATE to this collection: may change at any time.

A method turns three questions into the language of one kind of device: who are you, is the power on,
switch it off. It decides nothing: :mod:`levels` does, and believes only a power state that was read back.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError

ON = "on"
OFF = "off"
UNKNOWN = "unknown"

#: ``uuid`` and ``serial`` of the machine behind a device, as far as the device tells them.
Identity = t.Dict[str, str]

_LONGEST_ANSWER = 300


class FencingError(RecoveryError):
    """A device did not do, or did not tell, what it was asked; another try may help."""


class FencingRefused(FencingError):
    """The same as FencingError, where another try cannot help: wrong password, missing program."""


class OperatorNeeded(FencingError):
    """Only a person can say that the host is off."""


@dataclasses.dataclass(frozen=True)
class Completed:
    """A command that ended by itself."""

    rc: int
    stdout: str
    stderr: str


@dataclasses.dataclass(frozen=True)
class HttpAnswer:
    """An HTTP answer of any status; ``json`` is None when the body is not a JSON object."""

    status: int
    text: str
    json: dict[str, t.Any] | None


class CommandRunner(t.Protocol):
    """Runs a command; raises FencingError when it does not end in time."""

    def __call__(self, argv: list[str], *, env: dict[str, str], stdin: str, timeout: float) -> Completed: ...


class HttpOpener(t.Protocol):
    """Sends one HTTP request; raises FencingError when no HTTP answer comes in time."""

    def __call__(
        self, method: str, url: str, *, body: dict[str, t.Any] | None, timeout: float, **transport: t.Any
    ) -> HttpAnswer: ...


@dataclasses.dataclass(frozen=True)
class World:
    """Everything outside that fencing touches.

    :param clock: Monotonic seconds.
    :param wait: Waits for some seconds.
    :param utc: The date and time for people.
    """

    run: CommandRunner
    http: HttpOpener
    probe: t.Callable[[t.Sequence[str], float], dict[str, str]]
    clock: t.Callable[[], float]
    wait: t.Callable[[float], None]
    utc: t.Callable[[], str]


@dataclasses.dataclass(frozen=True)
class Level:
    """Devices that must all succeed.

    :param number: Counted from 1, as people do.
    :param timeout: Seconds for one try of the whole level.
    """

    number: int
    devices: list[Device]
    timeout: float = 30.0
    tries: int = 2


class Device:
    """One device that can cut the power of one host.

    All methods raise FencingError when there was no usable answer within ``timeout`` seconds.
    """

    NAME: t.ClassVar[str]
    #: Options of the method, as in an argument_spec.
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]]
    #: Whether there is something to talk to at all.
    REMOTE: t.ClassVar[bool] = True

    def __init__(self, options: t.Mapping[str, t.Any], world: World) -> None:
        self.options = options
        self.world = world
        self.address = self.describe()

    @classmethod
    def check(cls, options: t.Mapping[str, t.Any]) -> None:
        """Refuse values that no argument_spec can describe, with a ConfigError that starts with the option's name.

        Called on what is written down, too, where options can still be missing or templates.
        """

    def describe(self) -> str:
        """Where the device is, for people."""
        return str(self.options.get("address", ""))

    def identity(self, timeout: float) -> Identity:
        """Which machine it switches; empty when this kind of device, or this one, does not tell."""
        raise NotImplementedError

    def power_state(self, timeout: float) -> str:
        """What it reports right now: ``on``, ``off``, or ``unknown`` for anything else."""
        raise NotImplementedError

    def power_off(self, timeout: float) -> str:
        """Ask it to cut the power at once, without shutting down; return what it answered.

        The answer is evidence and proves nothing. A refusal is an answer, too.
        """
        raise NotImplementedError

    def secrets(self) -> list[str]:
        """Values that must not be seen anywhere."""
        found: list[str] = []
        for name, option in self.OPTIONS.items():
            value = self.options.get(name)
            if option.get("no_log") and value:
                found += [str(item) for item in value.values()] if isinstance(value, dict) else [str(value)]
        return found

    def clean(self, text: str) -> str:
        """One line of the text, short and without secrets."""
        for secret in filter(None, self.secrets()):
            text = text.replace(secret, "********")
        return " ".join(text.split())[:_LONGEST_ANSWER]
