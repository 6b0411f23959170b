"""Tokens are those that the responder accepts."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Credentials, read_keys


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Two master keys: the current one, and the one before it."""
    path = tmp_path / "responder.keys"
    path.write_text("".join(f"{secrets.token_hex(32)}\n" for _number in range(2)))
    return path


def tokens(*principals: str, **options: object) -> list[str]:
    plugin = lookup_loader.get("openstack_ha.recovery.principal_token")
    return list(plugin.run(list(principals), variables={}, **options))


def test_each_principal_gets_the_token_that_the_responder_accepts_of_it(keys: Path) -> None:
    host, reporter = tokens("host:cmp01", "reporter:pacemaker", key_file=str(keys))
    credentials = Credentials(read_keys(str(keys)))
    assert credentials.accepts("host:cmp01", host)
    assert credentials.accepts("reporter:pacemaker", reporter)
    assert not credentials.accepts("host:cmp02", host)


def test_tokens_are_made_with_the_current_key(keys: Path) -> None:
    (host,) = tokens("host:cmp01", key_file=str(keys))
    old = keys.read_text().splitlines()[1]
    keys.write_text(f"{old}\n")
    assert tokens("cmp01", key_file=str(keys)) != [host]


@pytest.mark.parametrize("principal", ["root:cmp01", "host:", "host:a b"])
def test_what_is_no_principal_is_refused(keys: Path, principal: str) -> None:
    with pytest.raises(AnsibleLookupError, match="must be one of host:NAME"):
        tokens(principal, key_file=str(keys))


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleLookupError, match=r"cannot read .*/nowhere"):
        tokens("host:cmp01", key_file=str(tmp_path / "nowhere"))
