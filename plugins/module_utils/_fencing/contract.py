# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fencing method is, and what it gets from outside. PRIVATE to this collection: may change at any time.

There are three kinds of methods:

* A :class:`Device` turns three questions into the language of one kind of power switch: who are you, is the
  power on, switch it off. It decides nothing: :mod:`levels` does, and believes only what was read back.
* A :class:`Wait` cuts no power. It lets time pass and tells what that has shown, which may be a proof.
* A :class:`Person` has to be asked.
"""

from __future__ import annotations

import contextlib
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


class Ear(t.Protocol):
    """Listens for datagrams."""

    def hear(self, timeout: float) -> tuple[str, bytes] | None:
        """The source address and the content of the next datagram; None when none came in time."""


class Listen(t.Protocol):
    """Opens an ear for the datagrams that come from some addresses; raises FencingError when it cannot.

    :param here: Own addresses at which they arrive; empty for those that a connection to the sources would have.
    """

    def __call__(
        self, sources: t.Sequence[str], port: int, here: t.Sequence[str]
    ) -> contextlib.AbstractContextManager[Ear]: ...


def _deaf(sources: t.Sequence[str], port: int, here: t.Sequence[str]) -> contextlib.AbstractContextManager[Ear]:
    raise FencingRefused("nothing can be heard here")


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
    listen: Listen = _deaf


@dataclasses.dataclass(frozen=True)
class Sighting:
    """What one witness said last about the agent on a host that resets it when nobody hears it.

    :param armed: Whether the agent said that it would reset the machine.
    :param at: When, for people; changes with each sighting.
    :param heard: The same moment on our monotonic clock; None when it cannot be told, as another machine heard it.
    """

    source: str
    armed: bool
    at: str
    heard: float | None = None


@dataclasses.dataclass(frozen=True)
class Agent:
    """What the journal knows of the agent on a host.

    :param sightings: Reads the last sighting of each witness.
    :param first: What that was before the fencing began.
    :param lived_until: When others last saw the host alive, on a wall clock; None if nobody can tell.
    """

    sightings: t.Callable[[], list[Sighting]]
    first: t.Sequence[Sighting]
    lived_until: str | None


@dataclasses.dataclass(frozen=True)
class Vigil:
    """What a wait is about.

    :param began: When the fencing of the host began, on the monotonic clock.
    :param timeout: Seconds that the level has, for methods that have this option.
    :param go_on: Called between two looks; what it raises ends the fencing.
    :param agent: What is known of it; None where there is no journal.
    """

    host: str
    began: float
    timeout: float
    go_on: t.Callable[[], None]
    agent: Agent | None = None


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a wait has shown.

    :param state: What was observed, in the word for it.
    :param told: The same for people.
    :param proven: Whether it proves that the host cannot run its guests; otherwise the next level goes on.
    """

    state: str
    told: str
    proven: bool = False


_Spec = t.Dict[str, t.Dict[str, t.Any]]


class Method:
    """What can be written down as ``method`` of a device."""

    NAME: t.ClassVar[str]
    #: Options of the method, as in an argument_spec.
    OPTIONS: t.ClassVar[_Spec]
    #: Options of the level that it stands in.
    LEVEL: t.ClassVar[_Spec] = {}
    #: What its certificate says was observed; empty where observing proves nothing.
    PROOF: t.ClassVar[str] = ""
    #: Whether it can fence a host in whatever way that host has failed.
    SUFFICES: t.ClassVar[bool] = True

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

    @classmethod
    def can_prove(cls, options: t.Mapping[str, t.Any]) -> bool:
        """Whether the method, with these options, can prove anything by itself."""
        return bool(cls.PROOF)

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


class Device(Method):
    """One device that can cut the power of one host.

    All methods raise FencingError when there was no usable answer within ``timeout`` seconds.
    """

    LEVEL: t.ClassVar[_Spec] = {"timeout": {"type": "float", "default": 30.0}, "tries": {"type": "int", "default": 2}}
    PROOF: t.ClassVar[str] = OFF

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


class Wait(Method):
    """Something that only time shows. It stands alone in its level, and is done once."""

    #: What is done, in the evidence.
    TRIED: t.ClassVar[str]
    #: Whether a refused connection is no sign of life while its proof counts.
    REFUSES: t.ClassVar[bool] = False

    def ready(self, vigil: Vigil) -> str:
        """Look whether the wait could begin, and tell what it would do; raise FencingError if it could not."""
        raise NotImplementedError

    def observe(self, vigil: Vigil) -> Finding:
        """Wait, and tell what was seen; raise FencingError when that is not what must be seen."""
        raise NotImplementedError


class Person(Method):
    """Somebody has to be asked. It stands alone in its level."""

    SUFFICES: t.ClassVar[bool] = False


@dataclasses.dataclass(frozen=True)
class Level:
    """Devices that must all succeed, or something else alone.

    :param number: Counted from 1, as people do.
    :param timeout: Seconds for one try of the whole level.
    """

    number: int
    devices: t.Sequence[Device] = ()
    timeout: float = 30.0
    tries: int = 2
    alone: Wait | Person | None = None

    @property
    def methods(self) -> t.Sequence[Method]:
        """What stands in it."""
        return [self.alone] if self.alone else self.devices
