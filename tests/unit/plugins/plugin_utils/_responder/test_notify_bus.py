# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_bus import Bus, envelope

NOTICE = {
    "id": "5e", "event": "run_ended", "made_at": "2026-01-01T00:00:00Z", "scope": "R", "incident_id": None,
    "run_id": "r", "body": {"hosts": {"cmp01": "recovered"}},
}  # fmt: skip


def test_the_envelope_is_that_of_openstack_and_the_payload_has_a_version() -> None:
    found = envelope(NOTICE, "openstack_ha.ctl1")
    assert {key: found[key] for key in found if key != "payload"} == {
        "message_id": "5e", "publisher_id": "openstack_ha.ctl1", "event_type": "openstack_ha.run_ended",
        "priority": "INFO", "timestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert (found["payload"]["version"], found["payload"]["data"]) == ("1.0", NOTICE["body"])


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bus = Bus({"name": "bus", "url_file": str(tmp_path / "url"), "topics": ["n"], "publisher_id": "p"})
    monkeypatch.setitem(sys.modules, "oslo_messaging", None)
    assert bus.post(NOTICE) == "the Python package oslo.messaging is missing"
    monkeypatch.setitem(sys.modules, "oslo_messaging", types.ModuleType("oslo_messaging"))
    assert bus.post(NOTICE) == f"{tmp_path}/url: No such file or directory"


def test_the_reason_names_the_brokers_and_no_password(tmp_path: Path) -> None:
    pytest.importorskip("oslo_messaging")
    (tmp_path / "url").write_text("nothing://ha:s3cret@mq1:5672,ha:s3cret@mq2:5672/v\n")
    bus = Bus({"name": "bus", "url_file": str(tmp_path / "url"), "topics": ["n"], "publisher_id": "p"})
    reason = bus.post(NOTICE)
    bus.close()
    assert reason
    assert reason.endswith(" for mq1:5672, mq2:5672")
    assert "s3cret" not in reason
