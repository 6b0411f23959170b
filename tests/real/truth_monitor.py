"""The monitors of the bed's hosts: what really happens to guests there is written into the journal as signals."""

from __future__ import annotations

import contextlib
import itertools
import threading
import typing as t

from bed.client import Bed
from driver import Playbooks

Json = t.Dict[str, t.Any]

_DOMAINS = {
    "spawn": "running", "power_on": "running", "spawn_stopped": "shutoff", "power_off": "shutoff", "crash": "shutoff",
    "destroy": "gone",
}  # fmt: skip


class TruthMonitor:
    """Says what real monitors say: that a guest has crashed, each second again, that this is over, and what it is now.

    :param deaf: It sees nothing any more, and says nothing.
    """

    def __init__(self, cloud: Bed, playbooks: Playbooks) -> None:
        self._cloud, self._playbooks = cloud, playbooks
        self._numbers = itertools.count(1)
        self._seen = 0
        self._failed: dict[tuple[str, str], str] = {}
        self._over: set[tuple[str, str]] = set()
        self._domains: dict[tuple[str, str], str] = {}
        self._stop = threading.Event()
        self.deaf = False

    def say(self, host: str, vm: str, word: str, domain: str = "", **data: t.Any) -> None:
        """One word about a VM."""
        number = next(self._numbers)
        now = domain or self._domains.get((host, vm), "unknown")
        signal = {
            "source": f"/hosts/{host}/monitors/instance", "event_id": f"{host}-{number}",
            "type": f"openstack_ha.instance.{word}", "kind": "instance", "host": host, "object": vm,
            "state": "ok" if word == "ok" else "failed", "epoch": "spool-1", "sequence": number,
            "reporter": f"host:{host}",
            "data": {"reason": f"it is {word}", "domain": {"state": now}, "said_age": 0.0, **data},
        }  # fmt: skip
        with self._playbooks.journal() as journal:
            journal.accept_signals("RegionOne", "ctl1", [signal])

    def look(self) -> None:
        """Tell what has happened since the last look."""
        events = self._cloud.truth_events()
        for event in events[self._seen :]:
            self._take(event["host"], event["uuid"], event["event"])
        self._seen = len(events)

    def _take(self, host: str, vm: str, event: str) -> None:
        key = (host, vm)
        self._domains[key] = _DOMAINS.get(event, "unknown")
        if event == "crash":
            self._failed[key] = "crashed"
            self._over.discard(key)
            self.say(host, vm, "crashed")
        elif self._failed.pop(key, None):
            self._over.add(key)
            self.say(host, vm, "ok")

    @contextlib.contextmanager
    def watching(self) -> t.Iterator[TruthMonitor]:
        """Until the block ends."""
        self.look()
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        for beat in itertools.count():
            if self._stop.wait(0.1):
                return
            if not self.deaf:
                self.look()
                words = {**dict.fromkeys(self._over, "ok"), **self._failed} if beat % 10 == 0 else {}
                for (host, vm), word in words.items():
                    self.say(host, vm, word)
