# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_mail import mail, subject

SETTINGS = {"from": "ha@example.net", "to": ["duty@example.net", "boss@example.net"]}
NOTICE = {
    "id": "5e", "event": "verdict", "made_at": "2026-01-01T00:00:00Z", "scope": "R", "incident_id": "i", "run_id": None,
    "body": {"host": "cmp01", "verdict": "ask", "reason": "größer"},
}  # fmt: skip


def test_a_mail_says_what_happened_and_has_all_of_it_as_json_below() -> None:
    found = mail(NOTICE, SETTINGS)
    assert (found["Subject"], found["To"]) == (
        "[openstack_ha R] verdict ask: cmp01",
        "duty@example.net, boss@example.net",
    )
    assert (found["Message-ID"], found["Auto-Submitted"]) == ("<5e@openstack-ha.invalid>", "auto-generated")
    words, _empty, told = found.get_content().partition("\n\n")
    assert words == found["Subject"]
    assert json.loads(told)["data"]["reason"] == "größer"
    assert json.loads(told)["version"] == "1.0"


def test_a_mail_that_is_tried_again_is_the_same_mail() -> None:
    first, second = (mail(NOTICE, SETTINGS) for _time in range(2))
    assert first["Message-ID"] == second["Message-ID"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "run ended"),
        ({"hosts": {"cmp01": "recovered", "cmp02": "held"}}, "run ended: cmp01, cmp02"),
        ({"hosts": [f"c{number}" for number in range(7)]}, "run ended: c0, c1, c2, c3, c4 and 2 more"),
        ({"projects": {"p": [{"id": "1", "name": "web"}, {"id": "2"}]}}, "run ended: web, 2"),
        ({"host": "a\r\nBcc: evil@example.net"}, "run ended: a Bcc: evil@example.net"),
    ],
)
def test_a_subject_names_whom_it_is_about_in_one_line(data: dict[str, t.Any], expected: str) -> None:
    told = {"event": "run_ended", "scope": "R", "data": data}
    assert subject(told) == f"[openstack_ha R] {expected}"
