# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import hmac
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import credentials
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import (
    Credentials,
    Principal,
    Refused,
    read_keys,
    token_of,
)

NEW, OLD = b"n" * 32, b"o" * 40
TOPOLOGY = {"hosts": {"cmp01": {"segment": "rack1"}, "cmp02": {"segment": "rack2"}}}
known = Credentials([NEW, OLD], {"pcmk": {"segments": ["rack1"]}, "free": {"segments": None}})


def bearer(principal: str, key: bytes = NEW) -> str:
    return f"Bearer {principal}.{token_of(key, principal)}"


def basic(name: str, token: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()


def status(call: t.Callable[[], t.Any]) -> int:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.status


def test_a_token_is_a_keyed_hash_of_the_name_so_that_nothing_has_to_be_stored() -> None:
    made = hmac.new(NEW, b"openstack_ha/1/host:cmp01", hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(token_of(NEW, "host:cmp01") + "=") == made
    assert "=" not in token_of(NEW, "host:cmp01")


@pytest.mark.parametrize("key", [NEW, OLD])
def test_tokens_of_all_keys_hold_and_the_first_key_makes_new_ones(key: bytes) -> None:
    assert known.principal(bearer("host:cmp01", key)) == Principal("host", "cmp01")
    assert known.tokens("host:cmp01") == [token_of(NEW, "host:cmp01"), token_of(OLD, "host:cmp01")]


@pytest.mark.parametrize(
    ("user", "principal"), [("cmp01", "host:cmp01"), ("host:cmp01", "host:cmp01"), ("reporter:pcmk", "reporter:pcmk")]
)
def test_masakari_monitors_say_it_as_user_and_password(user: str, principal: str) -> None:
    assert str(known.principal(basic(user, token_of(NEW, principal)))) == principal


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer x",
        "Bearer host:cmp01.",
        bearer("host:cmp01", b"x" * 32),
        bearer("host:cmp02").replace("cmp02", "cmp01"),
        bearer("boss:cmp01"),
        bearer("host:"),
        bearer("host:a b"),
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff\xfe").decode(),
        basic("cmp01", token_of(NEW, "cmp01")),
        basic("cmp01", "ü" * 43),
        "Digest " + bearer("host:cmp01")[7:],
    ],
)
def test_nobody_else_is_let_in(header: str | None) -> None:
    assert status(lambda: known.principal(header)) == 401


@examples(100)
@given(st.text(max_size=80))
def test_whatever_stands_in_the_header_is_refused_and_breaks_nothing(text: str) -> None:
    for scheme in ("Bearer ", "Basic ", ""):
        assert status(lambda scheme=scheme: known.principal(scheme + text)) == 401  # type: ignore[misc]


def test_a_host_speaks_about_itself_and_nothing_else() -> None:
    known.check_host(Principal("host", "cmp01"), "cmp01", None)
    assert status(lambda: known.check_host(Principal("host", "cmp01"), "cmp02", TOPOLOGY)) == 403


def test_a_reporter_speaks_about_all_hosts_or_about_those_of_its_segments() -> None:
    known.check_host(Principal("reporter", "free"), "cmp02", TOPOLOGY)
    known.check_host(Principal("reporter", "pcmk"), "cmp01", TOPOLOGY)
    pcmk = Principal("reporter", "pcmk")
    assert status(lambda: known.check_host(pcmk, "cmp02", TOPOLOGY)) == 403
    assert status(lambda: known.check_host(pcmk, "cmp01", None)) == 403, "nothing is known, so nothing is allowed"


def test_a_reporter_that_is_not_configured_is_none_and_may_become_one_later() -> None:
    changed = Credentials([NEW], {})
    assert status(lambda: changed.principal(bearer("reporter:pcmk"))) == 403
    changed.renew(known)
    assert changed.principal(bearer("reporter:pcmk", OLD)) == Principal("reporter", "pcmk")


def test_a_reader_speaks_about_no_host() -> None:
    assert status(lambda: known.check_host(Principal("reader", "prometheus"), "cmp01", TOPOLOGY)) == 403


def test_the_key_file_has_a_key_in_each_line(tmp_path: t.Any) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# made by the role\n{NEW.hex()}\n\n{OLD.hex()}\n")
    assert read_keys(str(path)) == [NEW, OLD]


@pytest.mark.parametrize(
    ("text", "said"), [("", "no key"), ("no hex", "line 1"), ("ab" * 31, "shorter than 32 bytes"), ("ü", "cannot read")]
)
def test_a_key_file_that_cannot_be_used_is_refused_and_no_key_is_shown(tmp_path: t.Any, text: str, said: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as error:
        read_keys(str(path))
    assert not text or text not in error.value.message
    with pytest.raises(ConfigError, match="cannot read"):
        read_keys(str(tmp_path / "none"))


def test_tokens_are_written_one_in_a_line(tmp_path: t.Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    path.write_text(NEW.hex())
    assert credentials.command(["--key-file", str(path), "host:cmp01", "reader:prometheus"]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written == [token_of(NEW, "host:cmp01"), token_of(NEW, "reader:prometheus")]
    assert credentials.command(["--key-file", str(path), "boss:cmp01"]) == 1
    assert "principal" in capsys.readouterr().err
