# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Heartbeats that nobody can forge or replay. PRIVATE to this collection: may change at any time.

Bytes in, bytes out: no sockets and no clock. A *session* is one sender's life. A receiver gives each session a nonce,
and a beat counts only if it carries that nonce and a greater sequence than the one before. Nonces come from a secret
that a receiver draws at its start, from the session, and from how often the session of that host has changed: so
nothing that was recorded earlier counts, no state is kept for who has proved nothing, and clocks do not matter.

Hello and beat have one layout, longer than that of an ack: nobody gets a greater answer than what he sent.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import math
import os
import struct
import typing as t

from .errors import MonitorError

MAGIC = b"OHB1"
LONGEST_NAME = 255
#: Longest datagram of this protocol; what is longer is none.
LONGEST = 1024

_KEY = b"openstack_ha heartbeat"
_HELLO, _BEAT, _ACK = b"H", b"B", b"A"
_SESSION = _NONCE = _MAC = 16
_NO_NONCE = bytes(_NONCE)
_ARMED = _COUNTED = 1
# magic, kind, flags, session, sequence, nonce, seconds up; then host, network, code
_SAID = struct.Struct(f"!4scB{_SESSION}sQ{_NONCE}sd")
# magic, kind, flags, session, sequence, nonce; then code
_TOLD = struct.Struct(f"!4scB{_SESSION}sQ{_NONCE}s")

Random = t.Callable[[int], bytes]


@dataclasses.dataclass(frozen=True)
class Ack:
    """What a receiver answered: ``counted`` says whether the beat with this ``sequence`` was."""

    counted: bool
    sequence: int
    fresh: bool  # the nonce is new: the next beat may count at once


@dataclasses.dataclass(frozen=True)
class Heard:
    """What a receiver heard; only what ``counted`` is a sign of life. ``answer`` may be empty: then there is none."""

    host: str
    network: str
    counted: bool
    armed: bool
    up_for: float
    answer: bytes


def key_of(token: str) -> bytes:
    """The key of a host, from the token that it also shows to the intake."""
    return hmac.new(token.encode(), _KEY, hashlib.sha256).digest()


class Sender:
    """One life of one host on one network towards one receiver."""

    def __init__(self, host: str, network: str, key: bytes, random: Random = os.urandom) -> None:
        self._names = _name(host) + _name(network)
        self._key = key
        self._session = random(_SESSION)
        self._nonce = _NO_NONCE
        self._sequence = 0
        self._acked = 0

    @property
    def sequence(self) -> int:
        """The number of the newest beat."""
        return self._sequence

    def beat(self, armed: bool, up_for: float) -> bytes:
        """The next datagram; a hello until the receiver has given a nonce."""
        self._sequence += 1
        kind = _HELLO if self._nonce == _NO_NONCE else _BEAT
        flags = _ARMED if armed else 0
        head = _SAID.pack(MAGIC, kind, flags, self._session, self._sequence, self._nonce, max(0.0, up_for))
        return _sealed(head + self._names, self._key)

    def take(self, datagram: bytes) -> Ack | None:
        """What the receiver answered; None: this is no answer, or not the newest."""
        body = _opened(datagram, [self._key])
        if body is None or len(body[0]) != _TOLD.size:
            return None
        magic, kind, flags, session, sequence, nonce = _TOLD.unpack(body[0])
        if (magic, kind, session) != (MAGIC, _ACK, self._session) or not self._acked < sequence <= self._sequence:
            return None
        fresh = nonce != self._nonce
        self._nonce, self._acked = nonce, sequence
        return Ack(bool(flags & _COUNTED), sequence, fresh)


@dataclasses.dataclass
class _Said:
    """A hello or a beat whose code is right."""

    key: bytes
    kind: bytes
    flags: int
    session: bytes
    sequence: int
    nonce: bytes
    up_for: float
    host: str
    network: str


@dataclasses.dataclass
class _Life:
    """The session of a host on a network that counts now."""

    session: bytes = b""
    nonce: bytes = b""
    sequence: int = 0
    changes: int = 0


class Receiver:
    """Tells which datagrams are signs of life.

    :param key_for: The keys of a host, current first; none: unknown host. It is asked before anything is proved.
    :param networks: Those of which something may be said; None: of any.
    """

    def __init__(
        self,
        key_for: t.Callable[[str], t.Sequence[bytes]],
        random: Random = os.urandom,
        networks: t.Container[str] | None = None,
    ) -> None:
        self._key_for, self._networks = key_for, networks
        self._secret = random(32)
        self._lives: dict[tuple[str, str], _Life] = {}

    def take(self, datagram: bytes) -> Heard | None:
        """What was heard; None: nothing that a host of ours said."""
        said = self._read(datagram)
        if said is None:
            return None
        known = self._lives.get((said.host, said.network), _Life())
        nonce = known.nonce if said.session == known.session else self._nonce(said, known.changes)
        counted = said.kind == _BEAT and hmac.compare_digest(said.nonce, nonce) and self._newer(said, known)
        if counted:
            self._remember(said, known)
        elif said.session == known.session and said.sequence <= known.sequence:
            return self._heard(said, False, b"")  # one of ours for the second time: its answer has been given
        return self._heard(said, counted, _ack(said, counted, nonce))

    def _heard(self, said: _Said, counted: bool, answer: bytes) -> Heard:
        return Heard(said.host, said.network, counted, bool(said.flags & _ARMED), said.up_for, answer)

    def _newer(self, said: _Said, known: _Life) -> bool:
        return said.session != known.session or said.sequence > known.sequence

    def _remember(self, said: _Said, known: _Life) -> None:
        changes = known.changes + (said.session != known.session)
        self._lives[said.host, said.network] = _Life(said.session, said.nonce, said.sequence, changes)

    def _nonce(self, said: _Said, changes: int) -> bytes:
        """What a session that does not count yet has to show; once it counted and was replaced, it needs another."""
        text = _name(said.host) + _name(said.network) + said.session + struct.pack("!Q", changes)
        return hmac.new(self._secret, text, hashlib.sha256).digest()[:_NONCE]

    def _read(self, datagram: bytes) -> _Said | None:
        names = _names(datagram[_SAID.size : -_MAC]) if _SAID.size + _MAC < len(datagram) <= LONGEST else None
        if names is None or datagram[:4] != MAGIC or not (self._networks is None or names[1] in self._networks):
            return None
        opened = _opened(datagram, self._key_for(names[0]))
        if opened is None:
            return None
        _magic, kind, flags, session, sequence, nonce, up_for = _SAID.unpack(opened[0][: _SAID.size])
        if kind not in (_HELLO, _BEAT) or not 0 <= up_for < math.inf:
            return None
        return _Said(opened[1], kind, flags, session, sequence, nonce, up_for, *names)


def _ack(said: _Said, counted: bool, nonce: bytes) -> bytes:
    flags = _COUNTED if counted else 0
    return _sealed(_TOLD.pack(MAGIC, _ACK, flags, said.session, said.sequence, nonce), said.key)


def _sealed(body: bytes, key: bytes) -> bytes:
    return body + hmac.new(key, body, hashlib.sha256).digest()[:_MAC]


def _opened(datagram: bytes, keys: t.Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """What was sealed, and with which of these keys."""
    body, code = datagram[:-_MAC], datagram[-_MAC:]
    for key in keys:
        if hmac.compare_digest(hmac.new(key, body, hashlib.sha256).digest()[:_MAC], code):
            return body, key
    return None


def _name(name: str) -> bytes:
    encoded = name.encode()
    if not 0 < len(encoded) <= LONGEST_NAME:
        raise MonitorError(f"a name in a heartbeat must have 1 to {LONGEST_NAME} bytes, not {len(encoded)}")
    return bytes([len(encoded)]) + encoded


def _names(content: bytes) -> tuple[str, str] | None:
    """Host and network; None: nothing that we would have written."""
    first = content[0]
    second = content[1 + first] if len(content) > 1 + first else 0
    if not first or not second or len(content) != 2 + first + second:
        return None
    try:
        return content[1 : 1 + first].decode(), content[2 + first :].decode()
    except UnicodeDecodeError:
        return None
