from __future__ import annotations

import typing as t
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import config, notify

LEAST: dict[str, t.Any] = {
    "name": "ctl1", "segments_file": "/etc/ha/prod.failover_segments.yml", "key_file": "/etc/ha/keys",
    "intake": {"plain_http": True},
}  # fmt: skip


MAILBOX = {"name": "duty", "server": "mail.example.net", "from": "ha@example.net", "to": ["duty@example.net"]}


def parsed(**more: t.Any) -> config.Config:
    return config.parse({**LEAST, **more})


def wrong(**more: t.Any) -> str:
    with pytest.raises(ConfigError) as raised:
        parsed(**more)
    return raised.value.message


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(config.SCHEMA)


def test_what_is_not_said_has_defaults() -> None:
    found = parsed()
    assert found.responders == ["ctl1"]
    assert found.intake.listen == [("127.0.0.1", 7411)]
    assert (found.heartbeat.networks, found.heartbeat.silence) == ({}, 2.5)
    assert found.runs["inventory"] == LEAST["segments_file"]
    assert (found.cloud, found.webhooks, found.reporters, found.kdump) == ({}, [], {}, [])


def test_everything_that_may_be_said_is_taken() -> None:
    found = parsed(
        responders=["ctl2", "ctl1"], cloud="prod", region_name="R", api_timeout=5, look=1.0,
        heartbeat={"networks": {"admin": "192.0.2.5:7412", "storage": "[2001:db8::5]:7412"}, "silence": 1},
        kdump={"listen": ["192.0.2.5:7410"]}, reporters={"pacemaker": {}, "masakari": {"segments": ["rack1"]}},
        runs={"awx": {"url": "https://awx", "token_file": "/t", "job_template": 7}, "extra_vars": {"a": {"b": [1]}}},
        webhooks=[{"name": "chat", "url": "https://chat.example.net", "events": ["verdict"]}],
    )  # fmt: skip
    assert found.responders == ["ctl1", "ctl2"]
    assert found.cloud == {"cloud": "prod", "region_name": "R", "api_timeout": 5}
    assert found.heartbeat.networks["storage"] == ("2001:db8::5", 7412)
    assert found.kdump == [("192.0.2.5", 7410)]
    assert found.reporters == {"pacemaker": {"segments": None}, "masakari": {"segments": ["rack1"]}}
    assert found.runs["awx"]["verify"] is True
    assert found.runs["extra_vars"] == {"a": {"b": [1]}}
    assert found.webhooks[0]["secret_file"] is None


def test_channels_have_defaults() -> None:
    found = parsed(mail=[MAILBOX], bus=[{"name": "bus", "url_file": "/etc/ha/bus"}])
    assert (found.mail[0]["security"], found.mail[0]["projects"], found.mail[0]["events"]) == ("starttls", [], [])
    assert (found.bus[0]["topics"], found.bus[0]["publisher_id"]) == (["notifications"], "openstack_ha.responder")
    assert set(notify.EVENTS) == set(
        config.SCHEMA["properties"]["mail"]["items"]["properties"]["events"]["items"]["enum"]
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"nam": 1}, r"nam: unknown key. Did you mean 'name'\?"),
        ({"name": "a b"}, "name: must be a name of letters"),
        ({"key_file": "keys"}, "key_file: must be an absolute path, not 'keys'"),
        ({"key_file": "{{ keys }}"}, "key_file: is a template"),
        ({"intake": {"listen": ["foo"]}}, r"intake.listen\[0\]: must be address:port"),
        ({"intake": {"plain_http": True, "listen": ["1.2.3.4:70000"]}}, r"intake.listen\[0\]: the port must be from 1"),
        ({"intake": {}}, "intake.certificate: is missing"),
        ({"intake": {"plain_http": True, "key": "/k"}}, "intake.plain_http: is true, but"),
        ({"heartbeat": {"silence": "x"}}, "heartbeat.silence: must be a number of seconds from 0.2 to 600"),
        ({"heartbeat": {"networks": {"admin": "192.0.2.5"}}}, "heartbeat.networks.admin: must be address:port"),
        ({"runs": {"awx": {"url": "x"}}}, "runs.awx.job_template: is missing"),
        ({"webhooks": [{"name": "x", "url": "ftp://x"}]}, r"webhooks\[0\].url: must be an http or https URL"),
        (
            {"mail": [{"name": "x", "server": "m", "from": "a", "to": ["b@c"]}]},
            r"mail\[0\].from: must be an e-mail addr",
        ),
        ({"mail": [{**MAILBOX, "user": "ha"}]}, "mail: 'duty': user and password_file are needed together"),
        ({"mail": [{**MAILBOX, "security": "ssl"}]}, r"mail\[0\].security: must be one of starttls, tls, none"),
        ({"bus": [{"name": "bus", "url_file": "rabbit://"}]}, r"bus\[0\].url_file: must be an absolute path"),
        (
            {"mail": [MAILBOX], "bus": [{"name": "duty", "url_file": "/etc/ha/bus"}]},
            "bus: there are several channels with the name 'duty'",
        ),
        ({"responders": ["ctl2"]}, "responders: does not name this one, 'ctl1'"),
        ({"reporters": {"nova": {}}}, "reporters.nova: this name is taken"),
        ({"journal_url": "sqlite:////a", "journal_url_file": "/b"}, "journal_url: is given beside journal_url_file"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(more: dict[str, t.Any], message: str) -> None:
    import re

    assert re.search(message, wrong(**more))


def test_all_that_is_wrong_is_told_at_once_with_the_name_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "responder.yml").write_text("nam: ctl1\nlook: fast\n")
    with pytest.raises(ConfigError) as raised:
        config.load(str(tmp_path / "responder.yml"))
    lines = raised.value.message.splitlines()
    assert all(line.startswith("responder.yml: ") for line in lines)
    assert {"nam", "look", "name", "key_file", "segments_file", "intake.certificate"} == {
        line.split(": ")[1] for line in lines
    }


def test_the_journal_is_named_by_file_by_url_or_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSTACK_HA_JOURNAL", "sqlite:////env.db")
    assert parsed().journal_url == "sqlite:////env.db"
    assert parsed(journal_url="sqlite:////own.db").journal_url == "sqlite:////own.db"
    assert parsed(journal_url_file="/etc/ha/journal").journal_url == "file:/etc/ha/journal"
    monkeypatch.delenv("OPENSTACK_HA_JOURNAL")
    assert parsed().journal_url is None
