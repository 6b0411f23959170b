"""A loop on a real journal: hosts, Nova, runs and time are as each test says; threads are calls."""

from __future__ import annotations

import itertools
import types
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import loop as loops
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.health import Health
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import Hearing
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.metrics import Metrics
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.sources import Services

Row = t.Dict[str, t.Any]

HOSTS = {f"cmp{number:02d}": f"rack{1 + number // 6}" for number in range(1, 11)}


def policy() -> Row:
    found = defaults()
    found["gates"].update(start_grace=5, cool_down=0)
    for caps in (found["budgets"][name] for name in ("cloud", "segment", "failure_domain")):
        caps.update(at_once=5, per_hour=50)
    return found


def site() -> Site:
    hosts = {
        host: {
            "segment": segment, "role": "active", "failure_domain": None, "fencing_levels": 1,
            "probe": [f"tcp://{host}:22"],
        }
        for host, segment in HOSTS.items()
    }  # fmt: skip
    return Site({"segments": {"rack1": {}, "rack2": {}}, "hosts": hosts}, policy(), "p" * 64, "s" * 64)


class Keeper:
    def __init__(self) -> None:
        self.site: Site | None = site()

    def current(self) -> Site | None:
        return self.site


class Cloud:
    """A Nova with these servers; it can be told to change services only once ``forced`` is a list."""

    region = "R"

    def __init__(self) -> None:
        self.servers: dict[str, Row] = {}
        self.asked: list[str] = []
        self.away = False
        self.forced: list[tuple[str, Row]] | None = None

    def best_microversion(self, wanted: str) -> str:
        return wanted

    def add(self, host: str, *ids: str, **more: t.Any) -> None:
        """Servers that run there."""
        for id_ in ids:
            self.servers[id_] = {
                "id": id_, "name": id_, "status": "ACTIVE", "OS-EXT-STS:vm_state": "active",
                "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": 1, "OS-EXT-SRV-ATTR:host": host,
                "locked": False, "updated": "2026-01-01T00:00:00Z", "metadata": {"HA_Enabled": "True"},
                "flavor": {"original_name": "m1", "extra_specs": {}}, "image": "", "tenant_id": "p" * 32, **more,
            }  # fmt: skip

    def ask_once(self, _service: str, _version: str, path: str, *_more: t.Any) -> Row:
        return {"project": {"name": "web"}}

    def get(self, _service: str, path: str, *_version: t.Any, **query: t.Any) -> Row:
        self.asked.append(path)
        if self.away:
            raise CloudError("Nova is away")
        if path == "/os-aggregates":
            return {"aggregates": []}
        if path == "/servers/detail":
            first = None if query.get("marker") else query.get("host")
            return {"servers": [it for it in self.servers.values() if it["OS-EXT-SRV-ATTR:host"] == first]}
        found = self.servers.get(path.rpartition("/")[2])
        if found is None:
            raise CloudError("no such server", status=404)
        return {"server": found}

    def request(self, _method: str, _service: str, path: str, _microversion: str, json: Row) -> t.Any:
        if self.forced is None:
            raise CloudError("Nova is away")
        self.forced.append((path, json))
        return types.SimpleNamespace(body={"service": {"status": "enabled", "forced_down": False, **json}})


class Sources:
    """Nova says what ``services`` says; the hosts in ``answering`` answer to probes."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.away = False
        self.old: Services | None = None
        self.ahead: list[str] = []
        self.answering = set(HOSTS)
        self.services_of = {
            host: {
                "id": host, "binary": "nova-compute", "host": host, "state": "up", "status": "enabled",
                "forced_down": False, "disabled_reason": None, "updated_at": None,
            }
            for host in HOSTS
        }  # fmt: skip

    def services(self, max_age: float) -> Services:
        if self.old and max_age > 0:
            return self.old
        control = [{"binary": it, "host": "ctl", "state": "up"} for it in ("nova-conductor", "nova-scheduler")]
        return Services([*(dict(it) for it in self.services_of.values()), *control], not self.away)

    def answers(self, urls: t.Iterable[str], max_age: float) -> dict[str, str]:
        return {url: "answers" if url[6:11] in self.answering else "silent" for url in urls}

    def prefetch(self, urls: t.Collection[str]) -> None:
        self.ahead += urls

    def take_out(self, host: str, reason: str) -> None:
        """As a run does."""
        change = {"state": "down", "status": "disabled", "forced_down": True, "disabled_reason": reason}
        self.services_of[host].update(change)


class Runs:
    def __init__(self) -> None:
        self.started: list[tuple[str, list[str]]] = []
        self.how: list[tuple[str, t.Any]] = []
        self.canceled: list[str] = []
        self.error: RecoveryError | None = None

    def start(self, run_id: str, hosts: t.Sequence[str], playbook: str = "recover_host", extra: t.Any = None) -> None:
        if self.error is not None:
            raise self.error
        self.started.append((run_id, list(hosts)))
        self.how.append((playbook, extra))

    def cancel(self, run_id: str, reason: str) -> bool:
        self.canceled.append(run_id)
        return True


class Set:
    """One responder whose hosts beat twice a second."""

    def __init__(
        self,
        journal: Journal,
        name: str = "ctl1",
        responders: t.Sequence[str] = ("ctl1",),
        networks: t.Sequence[str] = ("admin",),
    ) -> None:
        self.now, self.journal = 1000.0, journal
        self.dead: set[str] = set()
        self.cut: set[tuple[str, str]] = set()
        self.lines: list[str] = []
        self.told: list[tuple[str, Row]] = []
        self.keeper, self.sources, self.runs = Keeper(), Sources(), Runs()
        self.hearing = Hearing(networks, 2.5, self.now)
        self.health = Health(self.clock)
        self.loop = loops.Loop(self.parts(name, responders))
        self.loop.runs = self.runs

    def parts(self, name: str, responders: t.Sequence[str]) -> loops.Parts:
        return loops.Parts(
            scope="R", name=name, responders=responders, me=holder.describe(), journal=self.journal,
            keeper=t.cast(t.Any, self.keeper), hearing=self.hearing, sources=t.cast(t.Any, self.sources),
            metrics=Metrics(self.health.age), health=self.health, tell=self.tell, say=self.lines.append,
            clock=self.clock, lease=30.0, look=5.0, spawn=lambda name, work: work(),
        )  # fmt: skip

    def clock(self) -> float:
        return self.now

    def tell(self, event: str, body: Row, **ids: t.Any) -> None:
        self.told.append((event, body))

    def wait(self, seconds: float) -> None:
        for number in range(round(seconds * 10)):
            if number % 5 == 0:
                for host, network in itertools.product(set(HOSTS) - self.dead, self.hearing.networks):
                    if (host, network) not in self.cut:
                        self.hearing.beat(host, network, False, 86400.0)
            self.now += 0.1
            changes = self.hearing.tick(self.now)
            if changes:
                self.loop.changed(changes)

    def age(self, seconds: float) -> None:
        """So many seconds have passed since all that stands in the journal was written."""

        def work(connection: t.Any) -> None:
            for name in ("signals", "incidents", "run_hosts", "verdicts", "observers"):
                found = table(name)
                marks = [column for column in found.c if column.name.endswith("_mark")]
                for row in connection.execute(found.select()).mappings():
                    key = [column == row[column.name] for column in found.primary_key.columns]
                    older = {it.name: _older(row[it.name], seconds) for it in marks if row[it.name]}
                    if older:
                        connection.execute(found.update().where(*key).values(older))

        self.journal.database.write(work)

    def settle(self) -> Set:
        """All is well, and has been for a while."""
        self.wait(6)
        self.loop.step()
        return self

    def kill(self, *hosts: str) -> None:
        self.dead.update(hosts)
        self.sources.answering.difference_update(hosts)

    def end(self, run_id: str, outcome: str) -> None:
        """A run ends so for all of its hosts, as recovery_run and Runs have it."""
        hosts = [it["host"] for it in self.journal.run(run_id)["hosts"]]
        for entry in self.journal.run(run_id)["hosts"]:
            self.journal.set_run_host(run_id, entry["host"], outcome)
            self.journal.set_incident(entry["incident_id"], outcome)
        self.journal.close_run(run_id, "closed")
        claims.release(self.journal, run_id, hosts)
        self.loop.ended(run_id, hosts, "successful", 0, None)


def _older(mark: Row, seconds: float) -> Row:
    return {**mark, "monotonic": mark["monotonic"] - seconds, "at": mark["at"] - seconds}
