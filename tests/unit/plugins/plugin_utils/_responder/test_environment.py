# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import environment


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OS_PASSWORD", "pw"),
        ("OS_AUTH_TYPE", "password"),
        ("OPENSTACK_HA_JOURNAL", "mysql://ha:pw@db/journal"),
        ("ANSIBLE_BECOME_PASS", "pw"),
        ("ANSIBLE_GALAXY_SERVER_X_TOKEN", "pw"),
        ("https_proxy", "http://me:pw@proxy:3128"),
        ("AWS_SECRET_ACCESS_KEY", "pw"),
        ("ANYTHING", "pw"),
    ],
)
def test_what_may_hold_a_secret_is_not_passed_on(name: str, value: str) -> None:
    assert environment.passed_on({name: value}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OS_CLIENT_CONFIG_FILE", "/etc/openstack/clouds.yaml"),
        ("ANSIBLE_VAULT_PASSWORD_FILE", "/etc/vault"),
        ("ANSIBLE_CONFIG", "/etc/ansible.cfg"),
        ("LC_ALL", "C.UTF-8"),
        ("https_proxy", "http://proxy:3128"),
        ("REQUESTS_CA_BUNDLE", "/etc/ssl/ca.pem"),
    ],
)
def test_what_playbooks_need_is_passed_on(name: str, value: str) -> None:
    assert environment.passed_on({name: value}) == {name: value}


def test_runs_find_the_programs_and_the_collection_of_this_process_first() -> None:
    found = environment.for_runs("/run/url", ["/warm"], {"PATH": "/bin", "ANSIBLE_COLLECTIONS_PATH": "/a:/b"})
    assert found["PATH"] == f"/warm:{Path(sys.executable).parent}:/bin"
    first, *others = found["ANSIBLE_COLLECTIONS_PATH"].split(":")
    assert Path(first, "ansible_collections/openstack_ha/recovery/plugins/plugin_utils/_responder").samefile(
        Path(environment.__file__).parent
    )
    assert others == ["/a", "/b"]
    assert found["OPENSTACK_HA_JOURNAL"] == "file:/run/url"
