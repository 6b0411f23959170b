from __future__ import annotations

import uuid

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.identity import check, combine, compare

OURS = uuid.UUID("4c4c4544-0044-4a10-8054-b7c04f564232")
EXPECTED = {"uuid": str(OURS), "serial": "J7D4J32"}


@pytest.mark.parametrize(
    "reported",
    [OURS.bytes, OURS.bytes_le, OURS.bytes[::-1], uuid.UUID(bytes=OURS.bytes[::-1]).bytes_le],
    ids=["rfc4122", "smbios", "ipmi", "ipmi decoded as smbios"],
)
def test_the_same_machine_is_known_in_every_byte_order(reported: bytes) -> None:
    assert compare({"uuid": str(OURS)}, {"uuid": str(uuid.UUID(bytes=reported))}) == "matched"


def test_one_other_bit_is_another_machine() -> None:
    other = uuid.UUID(int=OURS.int ^ 1)
    assert compare({"uuid": str(OURS)}, {"uuid": str(other)}) == "mismatch"


def test_any_byte_order_that_is_not_in_use_is_another_machine() -> None:
    swapped = OURS.bytes[8:] + OURS.bytes[:8]
    assert compare({"uuid": str(OURS)}, {"uuid": str(uuid.UUID(bytes=swapped))}) == "mismatch"


def test_serial_numbers_differ_in_more_than_case() -> None:
    assert compare({"serial": "J7D4J32"}, {"serial": " j7d4j32 "}) == "matched"
    assert compare({"serial": "J7D4J32"}, {"serial": "J7D4J33"}) == "mismatch"


def test_one_key_that_differs_outweighs_one_that_is_equal() -> None:
    assert compare(EXPECTED, {"uuid": str(OURS), "serial": "J7D4J33"}) == "mismatch"


def test_a_device_that_tells_only_one_of_two_matches_by_that_one() -> None:
    assert compare(EXPECTED, {"uuid": str(OURS)}) == "matched"


def test_a_device_that_tells_nothing_of_what_is_expected_is_unreadable() -> None:
    assert compare(EXPECTED, {}) == "unreadable"
    assert compare({"serial": "J7D4J32"}, {"uuid": str(OURS)}) == "unreadable"


@pytest.mark.parametrize("expected", [{}, {"uuid": None, "serial": None}, {"uuid": ""}])
def test_nothing_expected_is_nothing_compared(expected: dict[str, str | None]) -> None:
    assert compare(expected, {"uuid": str(OURS)}) == "not_configured"


@pytest.mark.parametrize(
    ("checks", "together"),
    [
        (["matched", "mismatch"], "mismatch"),
        (["unreadable", "matched"], "matched"),
        (["unreadable", "unreadable"], "unreadable"),
        ([], "not_configured"),
    ],
)
def test_devices_of_one_level_speak_together(checks: list[str], together: str) -> None:
    assert combine(checks) == together


def test_a_uuid_that_is_none_is_refused_with_its_path() -> None:
    with pytest.raises(ConfigError, match=r"^identity\.uuid: 'cmp03'"):
        check({"uuid": "cmp03"})
    check({"uuid": str(OURS)})
    check({})
