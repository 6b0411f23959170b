"""The fencing methods that wait, over real UDP, with a real fence agent behind them and a real journal."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from bed.client import Bed
from bed.segments import device
from driver import Playbooks, until
from tree import collections_path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import Paused
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import FencingError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.udp import listen
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import safe_time
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import host_fence

Json = t.Dict[str, t.Any]

SENDER = Path("/usr/libexec/fence-agents/fence_kdump_send")
MESSAGE = struct.pack("=II", 0x1B302A40, 1)

needs_agents = pytest.mark.skipif(
    not (shutil.which("fence_dummy") and SENDER.exists()), reason="the package fence-agents is not installed"
)


@pytest.fixture
def port() -> int:
    """A UDP port that nobody listens at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def send(source: str, port: int, content: bytes = MESSAGE, to: str = "127.0.0.1") -> None:
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        out.bind((source, 0))
        out.sendto(content, (to, port))


def fence(levels: list[Json], **params: t.Any) -> Json:
    """Fence cmp03, as the task in a playbook does."""
    given = {
        "host": "cmp03", "levels": levels, "identity": {}, "probe": [], "probe_timeout": 1.0, "confirmed_by": None,
        "confirmed_reason": None, "run_id": None, "journal_url": None, **params,
    }  # fmt: skip
    said: list[str] = params.pop("said", [])
    given.pop("said", None)
    return host_fence.run(Call(params=given, progress=said.append))


# -- listening -----------------------------------------------------------------------------------------------


def test_two_that_listen_at_one_port_hear_each_only_its_own_host(port: int) -> None:
    with listen(["127.0.0.2"], port, []) as first, listen(["127.0.0.3"], port, []) as second:
        for number in range(50):
            for source in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
                send(source, port, f"{source} {number}".encode())
        for ear, source in ((first, "127.0.0.2"), (second, "127.0.0.3")):
            heard = [ear.hear(0.2) for _number in range(50)]
            assert heard == [(source, f"{source} {number}".encode()) for number in range(50)]
            assert ear.hear(0.1) is None


def test_a_host_may_have_several_addresses_of_both_kinds(port: int) -> None:
    with listen(["127.0.0.2", "127.0.0.3", "::1"], port, []) as ear:
        send("127.0.0.3", port)
        assert ear.hear(1) == ("127.0.0.3", MESSAGE)
        send("127.0.0.2", port)
        assert ear.hear(1) == ("127.0.0.2", MESSAGE)
        send("::1", port, to="::1")
        assert ear.hear(1) == ("::1", MESSAGE)


def test_messages_to_another_address_of_this_machine_are_heard_where_it_is_named(port: int) -> None:
    with listen(["127.0.0.2"], port, []) as usual, listen(["127.0.0.2"], port, ["127.0.0.9"]) as named:
        send("127.0.0.2", port, to="127.0.0.9")
        assert named.hear(1) == ("127.0.0.2", MESSAGE)
        assert usual.hear(0.1) is None


def test_a_port_that_another_program_keeps_for_itself_is_told(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", port))
        with (
            pytest.raises(FencingError, match=f"port {port} for 127.0.0.2: Address already in use"),
            listen(["127.0.0.2"], port, []),
        ):
            pass


# -- kdump ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dump(port: int) -> t.Iterator[t.Callable[[], subprocess.Popen[bytes]]]:
    """A crash kernel: the real sender, from 127.0.0.1, every second until it is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([str(SENDER), "-p", str(port), "-i", "1", "127.0.0.1"]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def power(tmp_path: Path) -> Path:
    """The state of a power switch that the real agent fence_dummy switches."""
    file = tmp_path / "power"
    file.write_text("on")
    return file


def kdump(port: int, **options: t.Any) -> Json:
    return {"method": "kdump", "from": ["127.0.0.1"], "port": port, "first": 5.0, "quiet": 3.0, **options}


def switch(file: Path) -> Json:
    return {
        "timeout": 20,
        "devices": [{"method": "fence_agent", "agent": "fence_dummy", "options": {"status_file": str(file)}}],
    }


@needs_agents
def test_the_power_of_a_host_that_dumps_is_cut_when_the_real_sender_has_ended(
    port: int, power: Path, dump: t.Callable[[], subprocess.Popen[bytes]]
) -> None:
    sender, ended = dump(), []

    def end() -> None:
        time.sleep(4)
        assert power.read_text() == "on", "the dump is being written"
        sender.kill()
        ended.append(time.monotonic())

    ending = threading.Thread(target=end)
    ending.start()
    result = fence([{"timeout": 60, "devices": [kdump(port)]}, switch(power)])
    ending.join()
    assert time.monotonic() - ended[0] > 2
    heard, off = result["attempts"]
    assert heard["observed_state"] == "crash kernel"
    assert "then silence: the dump counts as written" in heard["answer"]
    assert off["observed_state"] == "off"
    certificate = result["certificate"]
    assert (certificate["kind"], certificate["level"], certificate["observed_state"]) == ("fence_agent", 2, "off")
    assert power.read_text().strip() == "off"


@needs_agents
def test_a_dump_without_end_is_cut_off_after_its_time(
    port: int, power: Path, dump: t.Callable[[], subprocess.Popen[bytes]]
) -> None:
    dump()
    result = fence([{"timeout": 4, "devices": [kdump(port)]}, switch(power)])
    assert "a dump may be lost" in result["attempts"][0]["answer"]
    assert result["certificate"]["kind"] == "fence_agent"


@needs_agents
def test_without_a_dump_the_power_is_cut_at_once(port: int, power: Path) -> None:
    began = time.monotonic()
    result = fence([{"devices": [kdump(port, first=1.0)]}, switch(power)])
    assert result["attempts"][0]["observed_state"] == "silent"
    assert result["certificate"]["level"] == 2
    assert time.monotonic() - began < 10


@needs_agents
def test_the_first_message_is_the_certificate_where_the_operator_takes_it_for_one(
    port: int, power: Path, dump: t.Callable[[], subprocess.Popen[bytes]]
) -> None:
    dump()
    result = fence([{"devices": [kdump(port, accept=True)]}, switch(power)])
    assert (result["certificate"]["kind"], result["certificate"]["observed_state"]) == ("kdump", "crash kernel")
    assert not result["changed"]
    assert power.read_text() == "on"


PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - openstack_ha.recovery.host_fence:
        host: "{{ inventory_hostname }}"
        levels:
          - timeout: 60
            devices:
              - {method: kdump, from: ["{{ address }}"], port: "{{ kdump_port }}", first: 30, quiet: 2}
          - devices:
              - {method: fence_agent, agent: fence_dummy, options: {status_file: "{{ power }}"}}
      register: fenced
    - ansible.builtin.copy:
        content: "{{ fenced | to_json }}"
        dest: "{{ power }}.json"
"""


@needs_agents
def test_two_hosts_that_dump_at_once_are_told_apart_by_two_processes_at_one_port(tmp_path: Path, port: int) -> None:
    hosts = {
        name: {
            "address": address,
            "kdump_port": port,
            "power": str(tmp_path / name),
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
        for name, address in (("cmp01", "127.0.0.2"), ("cmp02", "127.0.0.3"))
    }
    for host in hosts.values():
        Path(str(host["power"])).write_text("on")
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts.yml"),
         str(tmp_path / "play.yml")],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections_path()), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        seen = _read_until_both_listen(process)
        for number in range(30):  # cmp02 dumps for longer than cmp01
            for source, messages in (("127.0.0.2", 10), ("127.0.0.3", 30)):
                if number < messages:
                    send(source, port)
            time.sleep(0.1)
        out = seen + (process.communicate(timeout=60)[0])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, out
    results = {name: json.loads(Path(f"{host['power']}.json").read_text()) for name, host in hosts.items()}
    heard = {name: re.search(r"at (\S+), (\d+) messages", it["attempts"][0]["answer"]) for name, it in results.items()}
    sources = {name: found and found[1] for name, found in heard.items()}
    assert sources == {"cmp01": "127.0.0.2", "cmp02": "127.0.0.3"}
    # it is said a moment before the socket is open, so the first ones may be missed
    assert 1 <= int(heard["cmp01"][2]) <= 10 < int(heard["cmp02"][2]) <= 30
    assert {it["certificate"]["kind"] for it in results.values()} == {"fence_agent"}


def _read_until_both_listen(process: subprocess.Popen[str]) -> str:
    seen = ""
    assert process.stdout
    for line in process.stdout:
        seen += line
        if seen.count("listening for") == 2:
            return seen
    raise AssertionError(seen)


# -- watchdog -------------------------------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


@pytest.fixture
def run(journal: Journal, tmp_path: Path) -> dict[str, str]:
    """A run that holds cmp03, which Nova heard last just now."""
    incident = journal.open_incident("cmp03", "RegionOne", "rack1")
    me = holder.describe(monotonic=time.monotonic())
    opened = journal.open_run([{"host": "cmp03", "incident_id": incident["id"]}], me)
    claims.take(journal, [("RegionOne", "cmp03")], opened["id"], me)
    beat = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime())
    journal.add_verdict(opened["id"], {"hosts": {"cmp03": {"last_heartbeat": beat}}}, "", {}, orders_seen=0)
    return {"run_id": str(opened["id"]), "journal_url": f"sqlite:///{tmp_path}/journal.db"}


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margin is no option, so that nobody can make it too short; a test has no time for it."""
    monkeypatch.setattr(safe_time, "MARGIN", 0.5)


SHORT = {
    "method": "watchdog", "heartbeat_interval": 0.5, "heartbeat_timeout": 0.1, "threshold": 2, "peer_time": 0.3,
    "device_timeout": 4.0,
}  # fmt: skip
SAFE = 6.0


def steps(journal: Journal, run: dict[str, str]) -> list[str]:
    return [step["name"] for step in journal.steps(run["run_id"])]


@pytest.mark.usefixtures("_short")
def test_a_host_whose_agent_was_armed_is_dead_after_the_safe_time(journal: Journal, run: dict[str, str]) -> None:
    journal.sight("RegionOne", "cmp03", "ctl1", armed=True)
    sighted = time.monotonic()
    result = fence([{"devices": [SHORT]}], **run)
    assert SAFE <= time.monotonic() - sighted < SAFE + 20
    certificate = result["certificate"]
    assert (certificate["kind"], certificate["observed_state"]) == ("watchdog", "watchdog expired")
    assert not result["changed"]
    kept = journal.certificate(run["run_id"], "cmp03")
    assert kept
    assert (kept["state"], kept["certificate"]) == ("valid", certificate)
    assert steps(journal, run) == ["fenced"], "no device was commanded"


@pytest.mark.usefixtures("_short")
def test_a_host_that_is_heard_again_meanwhile_has_its_safe_time_anew(journal: Journal, run: dict[str, str]) -> None:
    journal.sight("RegionOne", "cmp03", "ctl1", armed=True)
    again: list[float] = []

    def hear() -> None:
        time.sleep(2)
        with open_journal(run["journal_url"]) as other:
            other.sight("RegionOne", "cmp03", "ctl2", armed=True)
        again.append(time.monotonic())

    thread = threading.Thread(target=hear)
    thread.start()
    fence([{"devices": [SHORT]}], **run)
    thread.join()
    assert time.monotonic() - again[0] >= SAFE - 0.2


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("armed", [False, None])
def test_a_host_without_an_armed_agent_is_held_and_never_certified(
    journal: Journal, run: dict[str, str], armed: bool | None
) -> None:
    if armed is not None:
        journal.sight("RegionOne", "cmp03", "ctl1", armed)
    with pytest.raises(FencingError, match="nothing resets it") as caught:
        fence([{"devices": [SHORT]}, {"devices": [{"method": "operator"}]}], **run)
    assert "Level 2 asks for a person's confirmation" in caught.value.message
    assert journal.certificate(run["run_id"], "cmp03") is None
    assert steps(journal, run) == ["not fenced"]


def test_numbers_for_a_test_are_refused_where_nobody_shortens_the_margin(run: dict[str, str]) -> None:
    with pytest.raises(Exception, match=r"safe_time: 6 s is too short: .* at least 35.5 s"):
        fence([{"devices": [{**SHORT, "safe_time": SAFE}]}], **run)


@needs_agents
def test_the_steps_tell_when_a_device_was_at_work(journal: Journal, run: dict[str, str], power: Path) -> None:
    fence([switch(power)], **run)
    assert steps(journal, run) == ["fencing", "fenced"]
    assert journal.fences_under_way("RegionOne") == []


@needs_agents
def test_a_pause_before_the_power_off_keeps_the_power_on_and_ends_a_wait(
    journal: Journal, run: dict[str, str], power: Path, port: int
) -> None:
    def pause() -> None:
        until(lambda: said, 30)
        with open_journal(run["journal_url"]) as other:
            other.add_order("RegionOne", "pause", "host", "cmp03", "Ada", "let me look first")

    said: list[str] = []
    thread = threading.Thread(target=pause)
    thread.start()
    began = time.monotonic()
    with pytest.raises(Paused, match="let me look first"):
        fence([{"devices": [kdump(port, first=60.0)]}, switch(power)], said=said, **run)
    thread.join()
    assert time.monotonic() - began < 30
    assert power.read_text() == "on"
    assert steps(journal, run) == ["not fenced"]


# -- a whole recovery ------------------------------------------------------------------------------------------

RACK = {"rack": {"hosts": ["cmp01", "cmp02", "cmp03", "cmp04"], "shared_storage": True}}
Recovery = t.Callable[..., Playbooks]


def crashed(cloud: Bed) -> list[str]:
    """Two VMs of a host that has crashed, and whose BMC has died with it."""
    vms = cloud.fill("cmp01", 2)
    cloud.bmc_fault("cmp01", "silent")
    cloud.crash("cmp01")
    cloud.reset_api_calls()
    return vms


def with_levels(cloud: Bed, recovery: Recovery, *levels: Json) -> Playbooks:
    """With these levels for cmp01, after the one of its BMC."""
    bmc = {"timeout": 2, "tries": 1, "devices": [device(cloud.hosts["cmp01"], "redfish")]}
    return recovery(RACK, method="redfish", extra={"cmp01": {"fencing": [bmc, *levels]}})


def evacuations(cloud: Bed) -> int:
    return sum(call.get("action") == "evacuate" for call in cloud.api_log())


def test_vms_of_a_host_whose_bmc_is_dead_come_back_when_its_watchdog_has_expired(
    cloud: Bed, recovery: Recovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vms = crashed(cloud)
    playbooks = with_levels(cloud, recovery, {"devices": [{"method": "watchdog"}]})
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal, monkeypatch.context() as patch:
        an_hour_ago = {**ages.mark(journal.database), "monotonic": time.monotonic() - 3600}
        patch.setattr(ages, "mark", lambda _database: an_hour_ago)
        journal.sight("RegionOne", "cmp01", "ctl1", armed=True)

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    (kept,) = playbooks.report()["certificates"]
    certificate = kept["certificate"]
    assert (certificate["kind"], certificate["level"], certificate["observed_state"]) == (
        "watchdog", 2, "watchdog expired",
    )  # fmt: skip
    assert kept["state"] == "valid"
    assert set(vms) == {vm for host, uuids in cloud.running().items() if host != "cmp01" for vm in uuids}
    assert cloud.ever_ran_twice() == []


def test_vms_of_a_host_that_nothing_proves_dead_are_never_evacuated(cloud: Bed, recovery: Recovery) -> None:
    crashed(cloud)
    playbooks = with_levels(
        cloud, recovery, {"devices": [{"method": "watchdog"}]}, {"devices": [{"method": "operator"}]}
    )

    outcome = playbooks.recover("cmp01")

    assert outcome.rc != 0
    assert evacuations(cloud) == 0
    (entry,) = playbooks.report()["hosts"]
    assert entry["outcome"] == "held"
    assert "its agent was never heard" in entry["reason"]
    assert "Level 3 asks for a person's confirmation" in entry["reason"]
    assert playbooks.report()["certificates"] == []
    assert [step["name"] for step in playbooks.report()["steps"] if step["host"] == "cmp01"][-1] == "not fenced"


@needs_agents
def test_vms_come_back_while_their_host_still_writes_its_dump_where_the_operator_accepts_that(
    cloud: Bed, recovery: Recovery, port: int, dump: t.Callable[[], subprocess.Popen[bytes]]
) -> None:
    vms = crashed(cloud)
    sender = dump()
    levels = {"devices": [kdump(port, first=20.0, accept=True)]}

    outcome = with_levels(cloud, recovery, levels).recover("cmp01")

    assert outcome, outcome.out
    assert sender.poll() is None, "it still does"
    assert "crash kernel at 127.0.0.1" in outcome.out
    assert set(vms) == {vm for host, uuids in cloud.running().items() if host != "cmp01" for vm in uuids}
    assert cloud.status()["cmp01"]["power"] == "on"
    assert cloud.ever_ran_twice() == []
