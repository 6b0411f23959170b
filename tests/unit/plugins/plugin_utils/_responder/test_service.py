"""The commands; the service itself is tested as a process, on real Nova."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import __main__ as commands
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import service

SEGMENTS = {
    "plugin": "openstack_ha.recovery.failover_segments",
    "segments": {"rack1": {"hosts": ["cmp01", "cmp02"]}},
    "fencing": [{"devices": [{"method": "operator"}]}],
}


@pytest.fixture
def files(tmp_path: Path) -> t.Callable[..., str]:
    """Write all files of a responder; the path of responder.yml."""

    def write(**more: t.Any) -> str:
        segments, keys = tmp_path / "prod.failover_segments.yml", tmp_path / "keys"
        segments.write_text(json.dumps(SEGMENTS))
        keys.write_text("5e" * 32 + "\n")
        config = {
            "name": "ctl1", "segments_file": str(segments), "key_file": str(keys), "intake": {"plain_http": True},
            **more,
        }  # fmt: skip
        (tmp_path / "responder.yml").write_text(json.dumps(config))
        return str(tmp_path / "responder.yml")

    return write


def test_a_configuration_that_is_in_order_is_told_so(
    files: t.Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.main(["check-config", "--config", files()]) == 0
    assert "responder.yml is in order" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"nam": 1}, "responder.yml: nam: unknown key"),
        ({"key_file": "/no/such/file"}, "key_file: cannot read /no/such/file"),
        ({"segments_file": "/no/such.failover_segments.yml"}, "no/such.failover_segments.yml: cannot be read"),
        ({"policy_file": "/no/such/policy.yml"}, "/no/such/policy.yml: cannot be read"),
        ({"intake": {"certificate": "/no/cert", "key": "/no/key"}}, "intake: cannot use one of /no/cert, /no/key"),
    ],
)
def test_what_is_wrong_with_a_configuration_is_told(
    files: t.Callable[..., str], capsys: pytest.CaptureFixture[str], more: dict[str, t.Any], message: str
) -> None:
    assert commands.main(["check-config", "--config", files(**more)]) == 1
    assert message in capsys.readouterr().err


def test_a_service_that_cannot_start_says_why(files: t.Callable[..., str], caplog: pytest.LogCaptureFixture) -> None:
    assert service.run(files(key_file="/no/such/file")) == 1
    assert "key_file: cannot read /no/such/file" in caplog.text


def test_a_token_is_written_without_any_configuration(
    files: t.Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files()
    assert commands.main(["token", "--key-file", str(tmp_path / "keys"), "host:cmp01"]) == 0
    assert len(capsys.readouterr().out.strip()) == 43
