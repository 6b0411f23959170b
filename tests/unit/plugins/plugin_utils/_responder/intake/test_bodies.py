# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import bodies
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Problem

texts = st.text(st.sampled_from("aü\0\ud800\n\u2028💥"), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=40,
)


@examples(100)
@given(values, st.booleans())
def test_what_is_read_can_be_kept_and_what_cannot_be_kept_is_refused(value: t.Any, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    try:
        found = bodies.parse(body)
    except Problem:
        with pytest.raises(ValueError):  # noqa: PT011  # of several kinds
            kept(value)
        return
    assert kept(found) == kept(value)


def kept(value: t.Any) -> str:
    """What a database would be given; fails as the strictest of them does."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if "\\u0000" in text:
        raise ValueError("NUL")
    return text.encode("utf-8").decode("utf-8")


@pytest.mark.parametrize("deep", [20, 21])
def test_nothing_is_nested_deeper_than_can_be_written(deep: int) -> None:
    body = b"[" * deep + b"]" * deep
    if deep == 20:
        assert bodies.parse(body)
    else:
        with pytest.raises(Problem, match="nested too deeply"):
            bodies.parse(body)
