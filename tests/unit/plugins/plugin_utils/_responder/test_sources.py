from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.sources import Sources

UP = {"binary": "nova-compute", "host": "cmp01", "state": "up"}


class Cloud:
    """A Nova that tells one service, or nothing, or hangs."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.goes_on = threading.Event()
        self.goes_on.set()

    def get(self, *_what: t.Any, **_more: t.Any) -> dict[str, t.Any]:
        self.asked += 1
        assert self.goes_on.wait(60)
        if self.fails:
            raise CloudError("no answer")
        return {"services": [UP]}


class Set:
    def __init__(self, patience: float = 60.0) -> None:
        self.now, self.probed, self.answer = 100.0, list[list[str]](), "silent"
        self.cloud = Cloud()
        self.sources = Sources(t.cast(t.Any, self.cloud), lambda: self.now, 0.5, patience, self.probe)

    def probe(self, urls: t.Sequence[str], timeout: float) -> dict[str, str]:
        self.probed.append(list(urls))
        if self.answer == "broken":
            raise RecoveryError("too many open files")
        return dict.fromkeys(urls, self.answer)


@pytest.fixture
def given() -> t.Iterator[Set]:
    it = Set()
    yield it
    it.cloud.goes_on.set()
    it.sources.close()


def test_an_answer_is_used_as_long_as_it_is_young_enough(given: Set) -> None:
    assert given.sources.services(5.0).computes == {"cmp01": UP}
    given.now += 5
    assert given.sources.services(5.0).answers
    assert given.cloud.asked == 1
    given.now += 1
    assert given.sources.services(5.0).answers
    assert given.cloud.asked == 2


def test_of_a_nova_that_fails_the_last_answer_is_remembered(given: Set) -> None:
    given.sources.services(5.0)
    given.cloud.fails, given.now = True, 110.0
    found = given.sources.services(5.0)
    assert not found.answers
    assert found.computes == {"cmp01": UP}


def test_a_nova_that_hangs_is_waited_for_so_long_and_asked_once() -> None:
    given = Set(patience=0.01)
    given.cloud.goes_on.clear()
    try:
        assert not given.sources.services(5.0).answers
        assert not given.sources.services(5.0).answers
        assert given.cloud.asked == 1
    finally:
        given.cloud.goes_on.set()
        given.sources.close()


def test_an_answer_counts_from_when_it_was_asked_for(given: Set) -> None:
    given.cloud.goes_on.clear()
    given.sources.prefetch([])
    given.now += 10
    given.cloud.goes_on.set()
    assert given.sources.services(5.0).answers
    assert given.cloud.asked == 2


def test_what_was_probed_ahead_is_not_probed_again(given: Set) -> None:
    given.sources.prefetch(["tcp://192.0.2.1:22"])
    given.sources._pool.shutdown(wait=True)
    given.now += 1
    assert given.sources.answers(["tcp://192.0.2.1:22"], 3.0) == {"tcp://192.0.2.1:22": "silent"}
    assert given.probed == [["tcp://192.0.2.1:22"]]
    given.now, given.answer = given.now + 3, "answers"
    assert given.sources.answers(["tcp://192.0.2.1:22"], 3.0) == {"tcp://192.0.2.1:22": "answers"}


def test_who_cannot_even_try_knows_nothing(given: Set) -> None:
    given.answer = "broken"
    with pytest.raises(RecoveryError, match="too many open files"):
        given.sources.answers(["tcp://192.0.2.1:22"], 3.0)
    given.answer = "answers"
    assert given.sources.answers(["tcp://192.0.2.1:22"], 3.0)
    assert given.sources.answers([], 3.0) == {}
