"""Failures start their recovery by themselves, and only those that should: deployed monitors, three responders,
real Nova, real BMCs, hosts whose plug is pulled."""

from __future__ import annotations

import contextlib
import datetime
import json
import time
import typing as t
from pathlib import Path

import pytest
from driver import until

from hosts.client import HostsBed
from hosts.deployment import Deployment
from hosts.journaled import SCOPE, UNSETTLED, assert_recovered, incidents, verdict_on, views
from hosts.lab import Hosts

VMS = 6
NETWORKS = ("admin", "storage", "tenant")
#: The defaults, but for what would take minutes here, and for what the tests before have left in Nova's memory.
POLICY: dict[str, t.Any] = {
    "gates": {"start_grace": 1, "cool_down": 0, "power_restored": {"within": 0}},
    "budgets": {part: {"per_hour": 1000} for part in ("cloud", "segment", "failure_domain")},
    "networks": {name: {"cidrs": [f"10.{77 + number}.0.0/24"]} for number, name in enumerate(NETWORKS)},
}
#: Looks of each responder in which nothing must happen.
LOOKS = 4


@pytest.fixture(scope="module")
def hosts(can_have_hosts: None) -> t.Iterator[Hosts]:
    """Four booted hosts."""
    with Hosts() as started:
        started.start(4)
        yield started


@pytest.fixture(scope="module")
def deployment(hosts: Hosts, bed: HostsBed) -> Deployment:
    """Monitors on all hosts, deployed by the role; no responder runs yet."""
    made = Deployment(bed, hosts.directory / "site", {"rack1": {"hosts": list(hosts.hosts), "shared_storage": True}})
    made.deploy_monitors()
    return made


@pytest.fixture(scope="module")
def watched(deployment: Deployment, journal_url: str) -> t.Iterator[Deployment]:
    """Three responders watch the hosts."""
    deployment.start(journal_url, POLICY)
    yield deployment
    deployment.stop()


@pytest.fixture
def site(watched: Deployment) -> Deployment:
    """An empty cloud in which all is well, by the word of every responder."""
    watched.bed.reset()
    until(lambda: all_is_well(watched), 120)
    watched.began = now()
    return watched


def now() -> str:
    """The time as the journal writes it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def all_is_well(site: Deployment) -> bool:
    """Every responder hears every host, Nova too, and nothing is left to do."""
    heard = all(hears_all(site, view) for view in views(site).values())
    up = all(one["state"] == "up" for one in site.bed.services().values())
    with site.journal() as journal:
        busy = journal.open_runs(SCOPE) or journal.incidents(scope=SCOPE, state=UNSETTLED)
    return heard and up and not busy


def hears_all(site: Deployment, view: dict[str, t.Any]) -> bool:
    return all(view["networks"].get(name, {}).get("hears") == len(site.lab.hosts) for name in NETWORKS)


def lost(site: Deployment, host: str) -> dict[str, list[str]]:
    """Responder to the networks on which it has lost the host."""
    return {
        name: [network for network, told in view["networks"].items() if host in told.get("lost", ())]
        for name, view in views(site).items()
    }


def some_looks(site: Deployment) -> None:
    """Return when each responder has looked some more times."""
    with site.journal() as journal:
        before = {row["name"]: row["beats"] for row in journal.observers(SCOPE)}
        until(lambda: all(row["beats"] >= before[row["name"]] + LOOKS for row in journal.observers(SCOPE)), 120)


def untouched(site: Deployment, vms: t.Sequence[str] = ()) -> bool:
    """Nobody was powered off or taken out of service, and no VM was moved."""
    bed, services = site.bed, site.bed.services().values()
    on = all(host.is_on for host in site.lab.hosts.values())
    in_service = not any(one["forced_down"] or one["status"] == "disabled" for one in services)
    running = {vm for guests in bed.running().values() for vm in guests}
    return on and in_service and not bed.migrations() and set(vms) <= running


def seconds(text: str) -> float:
    """A time of the journal as the clock tells it."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def forced_down_at(bed: HostsBed, host: str) -> float:
    """When Nova was told that a host is down."""
    key = bed.services()[host]["id"]
    return next(
        float(line["time"])
        for line in bed.api_log()
        if line["path"].endswith(f"/os-services/{key}") and line["body"].get("forced_down")
    )


def test_a_pulled_plug_is_all_it_takes_for_the_vms_to_be_up_elsewhere(site: Deployment) -> None:
    bed, host = site.bed, site.lab["cmp01"]
    vms = bed.fill("cmp01", VMS)
    bed.reset_api_calls()
    pulled = time.time()
    host.power_off()
    until(lambda: sum(len(networks) == 3 for networks in lost(site, "cmp01").values()) >= 2, 60, pause=0.01)
    known = time.time()
    until(lambda: incidents(site, host="cmp01", state="recovered"), 180)

    report = assert_recovered(site, "cmp01", vms)

    path = {
        "plug pulled": pulled,
        "incident": seconds(report["incidents"][0]["opened_at"]),
        "verdict": seconds(report["verdicts"][0]["decided_at"]),
        "forced down": forced_down_at(bed, "cmp01"),
        "certificate": seconds(report["certificates"][0]["made_at"]),
        "last VM verified": max(seconds(line["verified_at"]) for line in report["ledger"]),
    }
    # When two responders had it in the journal is seen by looking there, which may be after the incident.
    seen = {"lost, by the journal of two responders": known, **path}
    print({name: f"{moment - pulled:.2f} s" for name, moment in seen.items()})
    witnesses = report["verdicts"][0]["snapshot"]["hosts"]["cmp01"]["witnesses"]
    assert sum(witnesses[name] == "down" for name in site.responders) >= 2
    assert list(path) == sorted(path, key=lambda name: path[name])


def test_a_host_without_storage_is_recovered_though_it_lives(site: Deployment) -> None:
    vms = site.bed.fill("cmp02", VMS)
    site.lab["cmp02"].cut("storage")
    until(lambda: incidents(site, host="cmp02", state="recovered"), 180)
    assert_recovered(site, "cmp02", vms)


def test_a_host_without_the_admin_network_is_only_told_about(site: Deployment) -> None:
    vms = site.bed.fill("cmp03", VMS)
    site.lab["cmp03"].cut("admin")
    until(lambda: verdict_on(site, "cmp03").get("verdict") == "alert", 120)
    some_looks(site)
    assert verdict_on(site, "cmp03")["reaction"] == "alert"
    assert untouched(site, vms)
    site.lab["cmp03"].heal("admin")
    until(lambda: not incidents(site, host="cmp03", kind="host", state=["open", "held"]), 120)


def drained(site: Deployment, host: str) -> list[dict[str, t.Any]]:
    """The reports of the runs of this test that have moved away whatever was to be."""
    with site.journal() as journal:
        runs = [one for one in journal.runs(host=host) if one["kind"] == "network" and one["opened_at"] >= site.began]
        reports = [journal.report(run["id"]) for run in runs if run["state"] == "closed"]
    return [one for one in reports if one["hosts"][0]["outcome"] == "recovered"]


def test_the_vms_of_a_host_without_the_tenant_network_are_moved_away_alive(site: Deployment) -> None:
    bed = site.bed
    vms = bed.fill("cmp03", VMS)
    bed.reset_api_calls()
    site.lab["cmp03"].cut("tenant")
    until(lambda: drained(site, "cmp03"), 300)
    some_looks(site)

    (report,) = drained(site, "cmp03")  # once is enough
    ways = {line["server_id"]: (line["state"], line["method"]) for line in report["ledger"]}
    assert ways == dict.fromkeys(vms, ("verified", "live_migrate"))
    assert {vm for host, guests in bed.running().items() if host != "cmp03" for vm in guests} == set(vms)
    assert bed.ever_ran_twice() == []
    assert {line["action"] for line in bed.api_log() if line.get("action")} == {"os-migrateLive"}
    service = bed.services()["cmp03"]
    assert (service["status"], service["forced_down"]) == ("disabled", False)
    assert service["disabled_reason"].startswith("openstack_ha: network ")
    assert all(host.is_on for host in site.lab.hosts.values())
    site.lab["cmp03"].heal("tenant")
    until(lambda: not incidents(site, host="cmp03", state=UNSETTLED), 180)


def test_a_responder_that_loses_its_own_networks_has_nobody_powered_off(site: Deployment) -> None:
    vms = site.bed.fill("cmp01", VMS)
    for network in NETWORKS:
        site.lab.controllers[0].cut(network)
    until(lambda: all(told.get("hears") == 0 for told in views(site)["ctl1"]["networks"].values()), 60)
    some_looks(site)
    assert untouched(site, vms)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_switch_that_fails_powers_nobody_off(site: Deployment, network: str) -> None:
    vms = site.bed.fill("cmp01", VMS)
    site.lab.fail_switch(network)
    until(lambda: all(view["networks"][network].get("hears") == 0 for view in views(site).values()), 60)
    some_looks(site)
    said = {verdict_on(site, host).get("verdict") for host in site.lab.hosts}
    assert said <= {None, "ask", "alert", "hold"}
    assert untouched(site, vms)


def test_hosts_that_lose_their_storage_together_are_asked_about(site: Deployment) -> None:
    together = ["cmp01", "cmp02"]
    vms = site.bed.fill("cmp01", VMS)
    site.lab.networks.fail("storage", together)
    for host in together:
        site.lab[host].cut("storage")
    until(lambda: [verdict_on(site, host).get("verdict") for host in together] == ["ask", "ask"], 120)
    some_looks(site)
    assert {verdict_on(site, host)["gate"] for host in together} == {"budget"}
    assert untouched(site, vms)


def test_a_responder_that_is_told_to_end_does_not_wait_for_idle_clients(site: Deployment) -> None:
    responder = site.responders["ctl3"]
    with contextlib.closing(responder.connection()) as idle:
        idle.request("GET", "/healthz")
        assert idle.getresponse().read()
        responder.ask_to_stop()
        assert responder.wait(25) == 0, "30 s is what TLS waits for a client to say good-bye"
    responder.start()
    until(responder.is_healthy, 120)


_POST = """
import json, ssl, sys, urllib.error, urllib.request
url, principal, token, event = sys.argv[1:]
token = open(token).read().strip() if token.startswith("/") else token
headers = {"Authorization": f"Bearer {principal}.{token}", "Content-Type": "application/cloudevents+json"}
request = urllib.request.Request(url + "/v1/signals", event.encode(), headers)
context = ssl.create_default_context(cafile="/etc/openstack_ha/ca.pem")
try:
    print(urllib.request.urlopen(request, context=context).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
TOKEN = "/etc/openstack_ha/monitor.token"


def says(site: Deployment, speaker: str, about: str, principal: str = "", token: str = TOKEN) -> int:
    """The answer when the host that speaks says that a network of a host is well."""
    data = {"host": about, "object": "tenant", "state": "ok", "reason": "test", "epoch": "test", "sequence": 1}
    event = {
        "specversion": "1.0",
        "id": f"{speaker}-{about}-{principal}-{token}",
        "source": f"/hosts/{about}/monitors/network",
        "type": "openstack_ha.network.ok",
        "subject": f"{about}/tenant",
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "data": {**data, "age": None},
    }
    url = f"https://{site.lab.controller.address()}:7411"
    command = ["python3", "-c", _POST, url, principal or f"host:{speaker}", token, json.dumps(event)]
    return int(site.lab[speaker].run(command).stdout)


def test_what_a_host_holds_lets_it_speak_about_itself_and_nobody_else(site: Deployment) -> None:
    assert says(site, "cmp01", "cmp01") == 202
    assert says(site, "cmp01", "cmp02") == 403
    assert says(site, "cmp01", "cmp02", principal="host:cmp02") == 401
    assert says(site, "cmp01", "cmp01", token="A" * 43) == 401


def test_no_host_holds_a_credential_of_the_cloud_or_of_a_bmc(site: Deployment) -> None:
    secrets = {facts["password"] for facts in site.bed.hosts.values()}
    secrets |= {"password: secret", "nova-secret", str(site.bed.ports["auth_url"]), site.key_file.read_text().strip()}
    for host in site.lab.hosts.values():
        found = {str(path): holding(path, secrets) for path in files_of(host.path("/"))}
        environments = host.run(["sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline"], check=False).stdout
        assert {path: secret for path, secret in found.items() if secret} == {}
        assert [secret for secret in secrets if secret in environments] == []
        assert host.path(TOKEN).read_text().strip() == site.token(f"host:{host.name}")


def files_of(root: Path) -> t.Iterator[Path]:
    """What was written on a host since it was made, and what it was made with where that is configuration."""
    upper = root.parent / "upper"
    for folder in (upper, root / "etc", root / "root"):
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def holding(path: Path, secrets: set[str]) -> list[str]:
    content = path.read_bytes()
    return [secret for secret in secrets if secret.encode() in content]
