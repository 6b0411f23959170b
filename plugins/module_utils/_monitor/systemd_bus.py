# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listens to systemd on D-Bus. PRIVATE to this collection: may change at any time.

https://www.freedesktop.org/wiki/Software/systemd/dbus/
"""

from __future__ import annotations

import collections
import contextlib
import threading
import typing as t

from .errors import MonitorError
from .process_states import Facts
from .systemd_poll import facts

try:
    from jeepney import (
        DBusAddress,
        HeaderFields,
        MatchRule,
        MessageType,
        Properties,
        new_method_call,
    )
    from jeepney.bus_messages import message_bus
    from jeepney.io.blocking import open_dbus_connection
except ImportError:
    DBusAddress = None  # reported by need()

_SERVICE = "org.freedesktop.systemd1"
_ROOT = "/org/freedesktop/systemd1"
_MANAGER = f"{_SERVICE}.Manager"
_TIMEOUT = 10.0
#: What only services have, by property; sockets have a result.
_MORE = {
    "service": (("Service", "Result"), ("Service", "NRestarts"), ("Unit", "UnitFileState")),
    "socket": (("Socket", "Result"), ("Unit", "UnitFileState")),
}
_OTHERS = (("Unit", "UnitFileState"),)


def need() -> None:
    """Refuse to run without the library.

    :raises MonitorError: It is not installed.
    """
    if DBusAddress is None:
        raise MonitorError("jeepney: is not installed; install the package python3-jeepney")


class Bus:
    """Systemd through D-Bus. A connection that is lost is made anew.

    :param address: ``SYSTEM``, ``SESSION`` or an address.
    """

    def __init__(self, address: str = "SYSTEM") -> None:
        self._address = address
        self._connection: t.Any = None
        self._signals: collections.deque[t.Any] = collections.deque(maxlen=1)
        self._heard: set[str] = set()

    def facts(self, names: t.Sequence[str]) -> dict[str, Facts]:
        """The units with these names.

        :raises MonitorError: systemd does not answer.
        """
        self._signals.clear()
        with self._errors("asking for units"):
            answer = self._right(self._send("ListUnitsByNames", "as", (list(names),)))
            # Of each: name, description, three states, what it follows, path, and three of its job.
            return {it[0]: self._facts(it[0], it[2:5], it[6]) for it in answer.body[0]}

    def restart(self, name: str) -> str:
        """Let it be restarted, without waiting for it; what came back if that was refused."""
        with self._errors("restarting a unit"):
            answer = self._send("RestartUnit", "ss", (name, "replace"))
        return _text(answer) if answer.header.message_type is MessageType.error else ""

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Until something has changed, which is returned, or it is time to look again."""
        if self._connection is None:
            stop.wait(seconds)
        elif not self._signals:
            with contextlib.suppress(MonitorError), self._errors("listening"), contextlib.suppress(TimeoutError):
                self._connection.recv_messages(timeout=seconds)
        return bool(self._signals)

    def close(self) -> None:
        """End the connection."""
        old, self._connection = self._connection, None
        self._heard.clear()
        if old is not None:
            with contextlib.suppress(OSError):
                old.close()

    def _facts(self, name: str, states: t.Sequence[str], path: str) -> Facts:
        found: dict[str, t.Any] = dict(zip(("LoadState", "ActiveState", "SubState"), states))
        if found["LoadState"] != "not-found":
            self._hear(path)
            for interface, name_ in (("Unit", "Id"), *_MORE.get(name.rpartition(".")[2], _OTHERS)):
                address = DBusAddress(path, bus_name=_SERVICE, interface=f"{_SERVICE}.{interface}")
                found[name_] = self._right(self._ask(Properties(address).get(name_))).body[0][1]
        return facts(found)

    def _hear(self, path: str) -> None:
        """Be told when a unit changes, only of those that are watched: a host with VMs has many others."""
        if path not in self._heard:
            rule = MatchRule(type="signal", sender=_SERVICE, path=path)
            self._right(self._ask(message_bus.AddMatch(rule.serialise())))
            self._heard.add(path)

    def _send(self, method: str, signature: str | None = None, body: tuple[t.Any, ...] = ()) -> t.Any:
        address = DBusAddress(_ROOT, bus_name=_SERVICE, interface=_MANAGER)
        return self._ask(new_method_call(address, method, signature, body))

    def _ask(self, message: t.Any) -> t.Any:
        if self._connection is None:
            self._connect()
        return self._connection.send_and_get_reply(message, timeout=_TIMEOUT)

    def _connect(self) -> None:
        self._connection = open_dbus_connection(self._address)
        self._connection.filter(MatchRule(type="signal", path_namespace=_ROOT), queue=self._signals, bufsize=1)
        self._right(self._send("Subscribe"))

    def _right(self, answer: t.Any) -> t.Any:
        if answer.header.message_type is MessageType.error:
            raise ValueError(_text(answer))
        return answer

    @contextlib.contextmanager
    def _errors(self, doing: str) -> t.Iterator[None]:
        try:
            yield
        except TimeoutError:
            self.close()
            raise MonitorError(f"systemd, {doing}: no answer within {_TIMEOUT:g} s") from None
        except (OSError, EOFError, ValueError, KeyError) as error:
            self.close()
            raise MonitorError(f"systemd, {doing}: {error}") from error


def _text(answer: t.Any) -> str:
    name = answer.header.fields.get(HeaderFields.error_name, "")
    return f"{name}: {answer.body[0]}" if answer.body else str(name)
