# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a device switches the machine that is meant. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

MATCHED = "matched"
MISMATCH = "mismatch"
UNREADABLE = "unreadable"
NOT_CONFIGURED = "not_configured"

#: The option ``identity`` of the modules.
SPEC: dict[str, t.Any] = {
    "type": "dict",
    "default": {},
    "options": {"uuid": {"type": "str"}, "serial": {"type": "str"}},
}

Pair = t.Mapping[str, t.Optional[str]]


def check(expected: Pair) -> None:
    """Refuse a UUID that is none, before it is compared with one."""
    try:
        uuid.UUID(expected.get("uuid") or str(uuid.UUID(int=0)))
    except ValueError:
        raise ConfigError(f"identity.uuid: {expected['uuid']!r} is not a UUID.") from None


def compare(expected: Pair, actual: Pair) -> str:
    """Compare what the inventory says with what the device says, key by key, where both say something."""
    wanted = {key: value for key, value in expected.items() if value}
    if not wanted:
        return NOT_CONFIGURED
    verdicts = [_same(key, value, str(actual[key])) for key, value in wanted.items() if actual.get(key)]
    if not verdicts:
        return UNREADABLE
    return MATCHED if all(verdicts) else MISMATCH


def combine(checks: t.Iterable[str]) -> str:
    """The word for several devices of one host: one that matches speaks for those that cannot tell."""
    found = set(checks)
    for word in (MISMATCH, MATCHED, UNREADABLE):
        if word in found:
            return word
    return NOT_CONFIGURED


def _same(key: str, expected: str, actual: str) -> bool:
    if key != "uuid":
        return expected.strip().casefold() == actual.strip().casefold()
    return uuid.UUID(actual).bytes in _byte_orders(uuid.UUID(expected))


def _byte_orders(value: uuid.UUID) -> set[bytes]:
    """The 16 bytes in all orders in which BMCs are known to tell them.

    The IPMI specification sends a GUID last byte first, many BMCs send it as SMBIOS keeps it (the first
    three fields little-endian, SMBIOS reference specification 7.2.1) and some as RFC 4122 writes it;
    ipmitool prints either the bytes or its own guess (`mc guid` in its manual page, since 1.8.19).
    https://github.com/ipmitool/ipmitool/blob/IPMITOOL_1_8_19/lib/ipmi_mc.c
    """
    backwards = uuid.UUID(bytes=value.bytes[::-1])
    return {value.bytes, value.bytes_le, backwards.bytes, backwards.bytes_le}
