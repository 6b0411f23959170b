# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may speak, and about whom. PRIVATE to this collection: may change at any time.

Nothing is stored for a principal: its token is made from its name with the key of the responders. A new first line in
the key file makes new tokens while the old ones still hold; taking the old line away ends those.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import dataclasses
import functools
import hashlib
import hmac
import re
import sys
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

Json = t.Dict[str, t.Any]

HOST, REPORTER, READER = "host", "reporter", "reader"
#: What each may do.
KINDS = {
    HOST: "a compute host: speaks about itself and nothing else",
    REPORTER: "a membership engine or Masakari's monitors: speaks about the hosts of the segments file, as one witness",
    READER: "sees what is recorded and what is measured",
}
_SHORTEST_KEY = 32  # bytes
_PURPOSE = "openstack_ha/1/"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,239}")


class Refused(RecoveryError):
    """Nobody known is speaking, or somebody speaks about what is not theirs; ``status`` is 401 or 403."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Principal:
    """Who speaks."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> Principal:
        """From ``kind:name``; a name alone is that of a host.

        :raises ConfigError: It is neither.
        """
        kind, colon, name = text.rpartition(":")
        kind = kind if colon else HOST
        if kind not in KINDS or not _NAME.fullmatch(name):
            raise ConfigError(
                f"principal: must be one of {', '.join(f'{it}:NAME' for it in KINDS)}, with a name of letters, "
                f"digits, '.', '_' and '-', not {text[:80]!r}."
            )
        return cls(kind, name)


@functools.lru_cache(maxsize=16384)
def token_of(master: bytes, principal: str) -> str:
    """The secret of a principal, in characters that may stand anywhere."""
    made = hmac.new(master, (_PURPOSE + principal).encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def read_keys(path: str) -> list[bytes]:
    """The keys of the responders: one line each in hexadecimal; the first is the current one.

    :raises ConfigError: The file cannot be read, or something else stands in it.
    """
    try:
        with open(path, encoding="ascii") as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, 1)]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"key_file: cannot read {path}: {error}. The role makes it, or: openssl rand -hex 32"
        ) from None
    keys = [_key(path, number, line) for number, line in lines if line and not line.startswith("#")]
    if not keys:
        raise ConfigError(f"key_file: there is no key in {path}. Make one with: openssl rand -hex 32")
    return keys


def _key(path: str, number: int, line: str) -> bytes:
    try:
        key = bytes.fromhex(line)
    except ValueError:
        raise ConfigError(f"key_file: line {number} of {path} is not hexadecimal.") from None
    if len(key) < _SHORTEST_KEY:
        raise ConfigError(f"key_file: the key in line {number} of {path} is shorter than {_SHORTEST_KEY} bytes.")
    return key


class Credentials:
    """The keys of the responders, and what the configuration allows to each reporter.

    A reporter that is not named there is none: its word would count as that of a witness, under any name.
    """

    def __init__(self, keys: t.Sequence[bytes], reporters: t.Mapping[str, Json] | None = None) -> None:
        self._keys = list(keys)
        self._reporters = dict(reporters or {})

    def renew(self, other: Credentials) -> None:
        """From now on those hold that the other one knows."""
        self._keys, self._reporters = other._keys, other._reporters

    def tokens(self, principal: str) -> list[str]:
        """All tokens that hold for a principal, the current one first."""
        return [token_of(key, principal) for key in self._keys]

    def accepts(self, principal: str, token: str) -> bool:
        """Whether the token is one of the principal's; takes as long whichever is wrong."""
        given = token.encode("utf-8", "replace")
        fits = [hmac.compare_digest(given, known.encode()) for known in self.tokens(principal)]
        return any(fits)

    def principal(self, authorization: str | None) -> Principal:
        """Who sent this header.

        :raises Refused: With 401: nobody known. With 403: a reporter that is not configured.
        """
        claimed, token = _claimed(authorization)
        if not self.accepts(str(claimed), token):
            raise Refused(401, f"This is not the token of {claimed}.")
        if claimed.kind == REPORTER and claimed.name not in self._reporters:
            raise Refused(403, f"reporters in responder.yml does not name {claimed.name}.")
        return claimed

    def check_host(self, principal: Principal, host: str, topology: Json | None) -> None:
        """Whether a principal may speak about a host; ``topology`` is not asked for one that speaks about itself.

        :raises Refused: With 403: it may not.
        """
        if principal.kind == HOST:
            if principal.name != host:
                raise Refused(403, f"{principal} may speak about itself only, not about {host[:80]!r}.")
            return
        if principal.kind != REPORTER:
            raise Refused(403, f"{principal} may read only.")
        segments = self._reporters[principal.name].get("segments")
        if segments is not None and _segment_of(host, topology) not in segments:
            raise Refused(
                403, f"{principal} may speak about hosts of {', '.join(segments)} only, not about {host[:80]!r}."
            )


def _segment_of(host: str, topology: Json | None) -> str | None:
    found: Json = (topology or {}).get("hosts", {}).get(host, {})
    return found.get("segment")


def _claimed(authorization: str | None) -> tuple[Principal, str]:
    scheme, _space, given = (authorization or "").strip().partition(" ")
    read = {"bearer": _bearer, "basic": _basic}.get(scheme.lower())
    if read is None:
        raise Refused(401, "Say who you are: Authorization: Bearer <principal>.<token>, or Basic.")
    name, token = read(given.strip())
    try:
        return Principal.parse(name), token
    except ConfigError as error:
        raise Refused(401, error.message) from None


def _bearer(given: str) -> tuple[str, str]:
    name, _dot, token = given.rpartition(".")
    return name, token


def _basic(given: str) -> tuple[str, str]:
    """The last colon is the one before the token: names have one themselves."""
    try:
        name, _colon, token = base64.b64decode(given, validate=True).decode("utf-8").rpartition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Refused(401, "What follows Basic is no name and password in base64.") from None
    return name, token


def command(arguments: t.Sequence[str] | None = None) -> int:
    """Write tokens, one line for each principal: ``token --key-file F host:cmp01``."""
    parser = argparse.ArgumentParser(prog="token", description="Write the token of each principal.")
    parser.add_argument("--key-file", required=True, help="the key file of the responders")
    parser.add_argument("principal", nargs="+", help="; ".join(f"{kind}:NAME {what}" for kind, what in KINDS.items()))
    given = parser.parse_args(arguments)
    try:
        key = read_keys(given.key_file)[0]
        tokens = [token_of(key, str(Principal.parse(name))) for name in given.principal]
    except ConfigError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write("".join(f"{token}\n" for token in tokens))
    return 0
