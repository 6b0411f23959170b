from __future__ import annotations

import contextlib
import datetime
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import EventError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.event import (
    TYPES,
    kind_of,
    make,
    parse,
    state_of,
)

Json = t.Dict[str, t.Any]


def data(**more: t.Any) -> Json:
    return {
        "host": "cmp01", "object": "vm", "state": "failed", "reason": "qemu was killed", "epoch": "e", "sequence": 7,
        "age": 0.5, **more,
    }  # fmt: skip


def event(**more: t.Any) -> Json:
    made = make("/hosts/cmp01/monitors/instance", "openstack_ha.instance.crashed", data())
    return {**made, **more}


def test_a_signal_is_a_cloud_event() -> None:
    at = datetime.datetime(2026, 11, 21, 9, 0, tzinfo=datetime.timezone.utc)
    assert make("/hosts/cmp01/monitors/instance", "openstack_ha.instance.crashed", data(), "id-1", at) == {
        "specversion": "1.0",
        "id": "id-1",
        "source": "/hosts/cmp01/monitors/instance",
        "type": "openstack_ha.instance.crashed",
        "subject": "cmp01/vm",
        "time": "2026-11-21T09:00:00.000+00:00",
        "datacontenttype": "application/json",
        "data": data(),
    }


def test_what_is_made_is_accepted_and_becomes_a_row() -> None:
    made = event()
    assert parse(made) == {
        "source": "/hosts/cmp01/monitors/instance", "event_id": made["id"], "type": "openstack_ha.instance.crashed",
        "kind": "instance", "host": "cmp01", "object": "vm", "state": "failed", "epoch": "e", "sequence": 7,
        "data": data(),
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, words in TYPES.items() for word in words])
def test_every_type_has_a_kind_and_a_state(kind: str, word: str) -> None:
    whole = f"openstack_ha.{kind}.{word}"
    assert kind_of(whole) == kind
    assert parse(event(type=whole, data=data(state=state_of(whole))))["kind"] == kind


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"specversion": "0.3"}, "specversion: "),
        ({"type": "openstack_ha.instance.gone"}, "type: no such type"),
        ({"type": "openstack_ha.instance"}, "type: no such type"),
        ({"type": "other.instance.crashed"}, "type: no such type"),
        ({"type": None}, "type: must be a text"),
        ({"id": ""}, "id: must be a text"),
        ({"id": "x" * 129}, "id: must be at most 128"),
        ({"source": "a\nb"}, "source: must be at most"),
        ({"data": None}, "data: must be an object"),
        ({"data": data(state="ok")}, "data.state: type openstack_ha.instance.crashed tells 'failed'"),
        ({"data": data(host="")}, "data.host: must be a text"),
        ({"data": data(host="a" * 256)}, "data.host: must be at most 255"),
        ({"data": data(host="\ud800")}, "data.host: must be at most 255"),
        ({"data": data(object=None)}, "data.object: must be a text"),
        ({"data": data(sequence=True)}, "data.sequence: "),
        ({"data": data(sequence=-1)}, "data.sequence: "),
        ({"data": data(sequence=2**63)}, "data.sequence: "),
        ({"data": data(age=-1)}, "data.age: "),
        ({"data": data(age=float("nan"))}, "data.age: "),
        ({"data": data(age=True)}, "data.age: "),
        ({"data": data(reason=1)}, "data.reason: "),
        ({"data": data(reason="x" * 4097)}, "data.reason: "),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(wrong: Json, message: str) -> None:
    with pytest.raises(EventError, match=f"^{message}"):
        parse(event(**wrong))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@examples(100)
@given(ANYTHING, st.sampled_from(["", *event()]), st.sampled_from(["", *data()]))
def test_anything_at_all_is_accepted_or_refused_in_words(value: t.Any, key: str, inner: str) -> None:
    whole = value if not key else event(**{key: value})
    if key == "data" and inner:
        whole = event(data=data(**{inner: value}))
    with contextlib.suppress(EventError):
        assert parse(whole)["type"] in whole.values()
