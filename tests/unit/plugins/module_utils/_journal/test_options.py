# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import options
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database

URL = "postgresql://ha:pw@db/journal"


def file_with(directory: Path, text: str, mode: int) -> str:
    path = directory / "url"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return f"file:{path}"


@pytest.mark.parametrize(("given", "meant"), [(None, options.DEFAULT_URL), (URL, URL)])
def test_a_url_means_itself_and_none_the_default(given: str | None, meant: str) -> None:
    assert options.resolve(given) == meant


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_url_may_stand_in_a_file_that_not_everybody_can_read(tmp_path: Path, mode: int) -> None:
    assert options.resolve(file_with(tmp_path, f"{URL}\n", mode)) == URL


def test_a_journal_is_opened_by_the_file_that_holds_its_url(tmp_path: Path) -> None:
    given = file_with(tmp_path, f"sqlite:///{tmp_path}/journal.db", 0o600)
    assert Database(given).name == f"the journal in {tmp_path}/journal.db"


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [(URL, 0o644, "everybody can read .*, mode 0644"), ("", 0o600, "must hold"), ("file:/other", 0o600, "must hold")],
)
def test_a_file_that_cannot_be_right_is_refused(tmp_path: Path, text: str, mode: int, says: t.Any) -> None:
    with pytest.raises(ConfigError, match=f"^journal_url: .*{says}") as caught:
        options.resolve(file_with(tmp_path, text, mode))
    assert "pw" not in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"cannot read {tmp_path}/url .*No such file"):
        options.resolve(f"file:{tmp_path}/url")
