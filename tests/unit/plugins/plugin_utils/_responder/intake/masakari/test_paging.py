# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from starlette.datastructures import QueryParams

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.masakari.paging import MOST, page
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Problem

ITEMS = [
    {"uuid": "a", "id": 1, "name": "rack1", "on": True, "end": None, "more": {}},
    {"uuid": "b", "id": 2, "name": "rack2", "on": False, "end": "2026", "more": {}},
    {"uuid": "c", "id": 3, "name": "rack2", "on": True, "end": "2025", "more": {}},
]


def asked(query: str, items: t.Sequence[dict[str, t.Any]] | None = None) -> str:
    found = page(ITEMS if items is None else items, QueryParams(query), ("name", "on"), "uuid", "uuid")
    return "".join(item["uuid"] for item in found)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "cba"),
        ("sort_dir=asc", "abc"),
        ("sort_key=name&sort_dir=asc&sort_key=uuid&sort_dir=desc", "acb"),
        ("sort_key=name&sort_key=uuid&sort_dir=asc", "abc"),
        ("sort_key=end&sort_dir=asc", "acb"),
        ("name=rack2", "cb"),
        ("name=rack2&on=True", "c"),
        ("on=false", "b"),
        ("name=rack9", ""),
        ("unknown=1", "cba"),
        ("limit=1", "c"),
        ("limit=0", ""),
        ("limit=1&marker=c", "b"),
        ("marker=2", "a"),
        ("marker=a", ""),
    ],
)
def test_lists_are_filtered_sorted_and_cut_into_pages(query: str, found: str) -> None:
    assert asked(query) == found


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=x", "limit=%C2%B2", "marker=z", "sort_dir=up", "sort_key=more", "sort_key=cat", "on=perhaps"],
)
def test_what_makes_no_sense_is_refused(query: str) -> None:
    with pytest.raises(Problem) as problem:
        asked(query)
    assert problem.value.status == 400


def test_no_answer_is_longer_than_masakari_gives() -> None:
    many = [{"uuid": "x", "id": number, "name": "", "on": True} for number in range(MOST + 5)]
    assert len(asked("limit=99999", many)) == MOST
