"""The floor that recover_host is measured against: a bare openstacksdk script without any care.

It forces the service down and requests the evacuations with the same targets and the same number under way at once. No
fencing, no journal, no plan of its own, no verification, no second try.
"""

from __future__ import annotations

import concurrent.futures
import json
import sys
import threading
import time
import typing as t

import openstack


class Floor:
    """Evacuate ``[(server, target or None)]`` from a host, ``parallel`` at once."""

    def __init__(self, host: str, pairs: list[tuple[str, str | None]], parallel: int) -> None:
        self.host, self.pairs, self.parallel = host, pairs, parallel
        self.compute = openstack.connect(cloud="lab").compute
        self.ended: set[str] = set()
        self.change = threading.Condition()

    def run(self) -> None:
        service = next(iter(self.compute.services(binary="nova-compute", host=self.host)))
        down = {"forced_down": True, "status": "disabled", "disabled_reason": "floor"}
        self.compute.put(f"/os-services/{service.id}", json=down, microversion="2.53").raise_for_status()
        threading.Thread(target=self.poll, daemon=True).start()
        with concurrent.futures.ThreadPoolExecutor(self.parallel) as pool:
            list(pool.map(self.evacuate, self.pairs))

    def evacuate(self, pair: tuple[str, str | None]) -> None:
        server, target = pair
        body = {"evacuate": {"host": target} if target else {}}
        self.compute.post(f"/servers/{server}/action", json=body, microversion="2.94").raise_for_status()
        with self.change:
            self.change.wait_for(lambda: server in self.ended)

    def poll(self) -> None:
        query = {"source_compute": self.host, "migration_type": "evacuation", "limit": "1000"}
        while True:
            records = self.compute.get("/os-migrations", params=query, microversion="2.80").json()["migrations"]
            with self.change:
                self.ended |= {it["instance_uuid"] for it in records if it["status"] in ("done", "error", "failed")}
                self.change.notify_all()
            time.sleep(0.5)


def main(order: dict[str, t.Any]) -> None:
    Floor(order["host"], [tuple(pair) for pair in order["pairs"]], order["parallel"]).run()  # type: ignore[misc]


if __name__ == "__main__":
    main(json.load(sys.stdin))
