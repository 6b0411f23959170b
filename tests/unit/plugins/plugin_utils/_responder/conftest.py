"""A journal in a file, and ways to fill it; the collection is imported late, as pytest-ansible needs it."""

from __future__ import annotations

import itertools
import typing as t

import pytest

Row = t.Dict[str, t.Any]
_numbers = itertools.count(1)


@pytest.fixture
def url(tmp_path: t.Any) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture
def journal(url: str) -> t.Iterator[t.Any]:
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

    with open_journal(url) as opened:
        yield opened


@pytest.fixture
def say(journal: t.Any) -> t.Callable[..., Row]:
    """Have a signal accepted; its row."""

    def accept(host: str, word: str, about: str = "", reporter: str = "reporter:pacemaker", **more: t.Any) -> Row:
        number, (kind, _dot, last) = next(_numbers), word.partition(".")
        event = f"event-{number}"
        signal = {
            "source": f"/{reporter}/{host}", "event_id": event, "type": f"openstack_ha.{word}", "kind": kind,
            "host": host, "object": about, "state": "ok" if last in ("ok", "reachable") else "failed", "epoch": "e",
            "sequence": number, "data": {"reason": "test"}, "reporter": reporter, **more,
        }  # fmt: skip
        journal.accept_signals("R", "ctl1", [signal])
        return dict(journal.signals(source=signal["source"])[-1])

    return accept
