"""What the monitors on a host cost, and how soon they tell. Parts of bench_signals.py."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).with_name("real")))

import bench_load
from bench_load import MASTER, NETWORKS, Json
from driver import until
from monitor_program import Monitor

VMS = 20
SOURCE = Path(__file__).parents[1] / "plugins/module_utils/_monitor"


def told(seconds: t.Sequence[float]) -> Json:
    """Best, median and worst of some times: what else the machine does shows in the difference."""
    return {
        "best": round(min(seconds), 3),
        "median": round(statistics.median(seconds), 3),
        "worst": round(max(seconds), 3),
        "times": len(seconds),
    }


def monitor(directory: Path, kind: str, url: str, options: Json, token: str, **common: t.Any) -> Monitor:
    """A monitor of this kind that is not started yet."""
    directory.mkdir(parents=True)
    made = Monitor(directory, kind, url, options, **common)
    (directory / "token").write_text(f"{token}\n")
    path = directory / "monitor.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "cmp01"}))  # kind host has no section
    return made


# -- qemu killed -> signal accepted --------------------------------------------------------------------------------


def qemu(directory: Path, rounds: int = 10) -> Json:
    """From kill -9 of a QEMU to the row in the journal: real libvirt, monitor, intake with TLS, SQLite."""
    import intake_process
    import libvirt_site
    from bed.tls import server_context

    from ansible_collections.openstack_ha.recovery.tests.unit.fakes import intake as fakes

    gone = libvirt_site.missing()
    if gone:
        return {"left out": f"not installed here: {gone}"}
    server_context(directory / "tls")
    url = f"sqlite:///{directory}/journal.db"
    token = fakes.bearer("host:cmp01")["Authorization"].rpartition(".")[2]
    with libvirt_site.libvirt() as site, intake_process.running(directory, url, directory / "tls") as intake:
        responders = [
            {"name": "ctl1", "url": f"https://127.0.0.1:{intake.port}", "ca_file": str(directory / "tls/ca.pem")}
        ]
        made = monitor(directory / "instance", "instance", "", {"uri": site.uri}, token, responders=responders)
        made.start()
        try:
            until(lambda: "connected to libvirt" in made.log())
            found = {"seconds": told([killed(site, url, number) for number in range(1, rounds + 1)])}
        finally:
            made.kill()
    print(json.dumps(found), flush=True)
    return found


def killed(site: t.Any, url: str, number: int) -> float:
    """Seconds from the kill of one VM until its signal is in the journal."""
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

    vm = site.create(number)
    with open_journal(url) as journal:
        began = time.monotonic()
        vm.kill()
        until(lambda: vm.uuid in [it["object"] for it in journal.signals(host="cmp01")], 60, pause=0.002)
        took = time.monotonic() - began
    site.remove(vm)
    return took


# -- memory and processor ------------------------------------------------------------------------------------------


def monitors(directory: Path, seconds: float = 60.0) -> Json:
    """What each kind uses while nothing happens: three responders, two networks; twenty VMs of a real libvirt."""
    import libvirt_site
    from signal_sink import sink

    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(sink())
        ears = [stack.enter_context(bench_load.Ears(1)) for _number in range(3)]
        beating = [
            {"name": f"ctl{number}", "url": signals.url,
             "beats": {network: f"127.0.0.1:{port}" for network, port in ear.ports.items()}}
            for number, ear in enumerate(ears)
        ]  # fmt: skip
        kinds: dict[str, Json] = {"host": {}, "network": {}, "watchdog": sbd(stack, directory)}
        if not libvirt_site.missing():
            site = stack.enter_context(libvirt_site.libvirt())
            for number in range(1, VMS + 1):
                site.create(number)
            kinds["instance"] = {"uri": site.uri}
        networks = {
            name: {"source": f"127.0.0.{n}", "interface": "lo", "check": [f"tcp://{signals.url.partition('//')[2]}"]}
            for n, name in enumerate(NETWORKS, 1)
        }
        token = bench_load.token_of(MASTER, "host:cmp01")
        started = {}
        for kind, options in kinds.items():
            made = monitor(directory / kind, kind, "", options, token, responders=beating, networks=networks)
            stack.callback(made.kill)
            made.start()
            started[kind] = made
        return idle(started, seconds)


def idle(started: t.Mapping[str, Monitor], seconds: float) -> Json:
    """Of each: RSS, and what it takes of one core."""
    time.sleep(10)  # to start is not idle
    before = {kind: (time.monotonic(), it.cpu()) for kind, it in started.items()}
    time.sleep(seconds)
    found = {}
    for kind, made in started.items():
        took, used = time.monotonic() - before[kind][0], made.cpu() - before[kind][1]
        found[kind] = {"mib": round(made.memory() / 2**20, 1), "cpu_percent": round(100 * used / took, 3)}
        print(kind, json.dumps(found[kind]), made.log().strip()[-200:], flush=True)
    return {"vms": VMS, **found}


def sbd(stack: contextlib.ExitStack, directory: Path) -> Json:
    """The watchdog is left to a process that is called like this one; there is no device."""
    program = shutil.copy("/bin/sleep", directory / "sbd")
    process = stack.enter_context(subprocess.Popen([program, "3600"]))
    stack.callback(process.kill)
    (directory / "sbd.pid").write_text(str(process.pid))
    return {"mode": "sbd", "sbd_pid_file": str(directory / "sbd.pid"), "pause_file": str(directory / "pause")}


# -- the kind process needs a systemd ------------------------------------------------------------------------------


def process(directory: Path, seconds: float = 60.0) -> Json:
    """The kind process in a container with systemd, which has two of the units that are watched."""
    from hosts import lab

    reason = lab.missing()
    if reason:
        return {"left out": reason}
    with lab.Hosts() as hosts:
        (host,) = hosts.start(1)
        host.copy(SOURCE, "/opt/monitor/openstack_ha_monitor")
        host.write("/etc/token", "x\n")
        config: Json = {"host": host.name, "token_file": "/etc/token"}
        config["process"] = {"units": {"systemd-journald": {}, "dbus": {}}}
        config["responders"] = [{"name": "ctl1", "url": "http://127.0.0.1:9"}]
        host.write("/etc/monitor.json", json.dumps(config))
        program = "python3 -s -m openstack_ha_monitor process --config /etc/monitor.json"
        host.run(["systemd-run", "--quiet", "--unit=bench", "--setenv=PYTHONPATH=/opt/monitor", *program.split()])
        time.sleep(10)
        before, began = inside(host), time.monotonic()
        time.sleep(seconds)
        after, took = inside(host), time.monotonic() - began
        log = host.run(["journalctl", "--unit=bench", "--output=cat", "--no-pager"]).stdout
    used = (after["ticks"] - before["ticks"]) / os.sysconf("SC_CLK_TCK")
    found = {"mib": round(after["kib"] / 1024, 1), "cpu_percent": round(100 * used / took, 3)}
    print(log[-300:], json.dumps(found), flush=True)
    return found


def inside(host: t.Any) -> Json:
    """What the monitor in a container has used."""
    pid = host.run(["systemctl", "show", "--property=MainPID", "--value", "bench"]).stdout.strip()
    status, stat = (host.run(["cat", f"/proc/{pid}/{name}"]).stdout for name in ("status", "stat"))
    fields = stat.rpartition(")")[2].split()
    kib = next(it.split()[1] for it in status.splitlines() if it.startswith("VmRSS"))
    return {"kib": int(kib), "ticks": int(fields[11]) + int(fields[12])}
