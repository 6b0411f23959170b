from __future__ import annotations

import concurrent.futures
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _watch
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CertificateError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._watch import Watch
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock

Json = t.Dict[str, t.Any]

HOST = "cmp01"
URL = "tcp://192.0.2.1:22"
OFF = {"kind": "ipmi", "observed_state": "off", "confirmed_by": None, "confirmed_reason": None}
SILENT_FOR = 15.0


class AtOnce(concurrent.futures.Executor):
    """What is asked is answered by what holds at that moment, not by what holds when a thread gets its turn."""

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any, **options: t.Any) -> t.Any:
        answer: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        answer.set_result(function(*args, **options))
        return answer


class Site:
    """One fenced host, what Nova knows of it, and a real journal."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal = journal
        self.clock = Clock()
        self.service: Json = {
            "updated_at": "t0",
            "status": "disabled",
            "disabled_reason": "openstack_ha: failed",
            "forced_down": True,
        }
        self.answers = {URL: "silent"}
        self.on = False
        self.said: list[str] = []
        self.incident = journal.open_incident(HOST, "RegionOne", "rack1")["id"]
        self.run_id = self.open_run()
        monkeypatch.setattr(_watch, "probe", lambda urls, timeout: {url: self.answers[url] for url in urls})

    def open_run(self, state: str = "up", forced_down: bool = False) -> str:
        run_id = str(self.journal.open_run([{"host": HOST, "incident_id": self.incident}], {})["id"])
        facts = {"state": state, "forced_down": forced_down}
        self.journal.add_verdict(run_id, {"hosts": {HOST: facts}}, "", {})
        self.run_id = run_id
        return run_id

    def certify(self, **certificate: t.Any) -> str:
        return str(self.journal.add_certificate(self.run_id, HOST, {**OFF, **certificate})["id"])

    def power(self, host: str, certificate: Json) -> list[str]:
        return [f"{certificate['kind']} says that {host} is on"] if self.on else []

    def watch(self, *urls: str) -> Watch:
        watch = Watch(
            Run(self.journal, self.run_id),
            {HOST: list(urls)},
            lambda host: dict(self.service),
            SILENT_FOR,
            lambda: self.clock.time,
            self.clock.advance,
            self.said.append,
            self.power,
        )
        watch._prober = AtOnce()
        return watch

    def waited(self, watch: Watch) -> float:
        began = self.clock.time
        watch.check()
        return self.clock.time - began

    def voided(self) -> str:
        certificate = self.journal.certificate(self.run_id, HOST)
        return str(certificate["void_reason"]) if certificate and certificate["state"] == "void" else ""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Site]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield Site(journal, monkeypatch)


def test_a_silent_probe_is_proof_enough(site: Site) -> None:
    site.certify()
    assert site.waited(site.watch(URL)) == 0


def test_without_a_probe_a_host_that_nova_took_for_alive_must_stay_silent(site: Site) -> None:
    site.certify()
    watch = site.watch()
    assert site.waited(watch) == SILENT_FOR
    assert HOST in site.said[0]
    assert site.waited(watch) == 0, "once"


def test_without_a_probe_a_host_that_nova_had_missed_is_not_waited_for(site: Site) -> None:
    site.open_run("down")
    site.certify()
    assert site.waited(site.watch()) == 0


def test_down_because_it_was_forced_down_is_no_silence(site: Site) -> None:
    site.open_run("down", forced_down=True)
    site.certify()
    assert site.waited(site.watch()) == SILENT_FOR


def test_a_decision_that_tells_nothing_about_a_host_is_no_silence(site: Site) -> None:
    site.journal.add_verdict(site.run_id, {}, "", {})
    site.certify()
    assert site.waited(site.watch()) == SILENT_FOR


def test_a_host_with_a_void_certificate_is_always_waited_for(site: Site) -> None:
    site.journal.void_certificate(site.certify(), "it beat")
    site.open_run("down")
    site.certify()
    assert site.waited(site.watch(URL)) == SILENT_FOR


def test_a_heartbeat_while_waiting_voids_the_certificate(site: Site) -> None:
    site.certify()
    site.clock.after(9.5, lambda: site.service.update(updated_at="t9"))
    with pytest.raises(CertificateError, match=r"STOP: cmp01 shows life .*t0 → t9"):
        site.watch().check()
    assert "t0 → t9" in site.voided()
    assert site.clock.time - 1000 < SILENT_FOR
    with pytest.raises(CertificateError, match="is void"):
        site.watch().check()


@pytest.mark.parametrize("answer", ["answers", "refused"])
def test_an_answer_of_the_probe_voids_the_certificate(site: Site, answer: str) -> None:
    site.certify()
    watch = site.watch(URL)
    watch.check()
    site.answers[URL] = answer
    watch.check()  # not due yet
    site.clock.advance(_watch.LOOK)
    watch.check()  # asks; what it had asked before was answered by silence
    site.clock.advance(_watch.LOOK)
    with pytest.raises(CertificateError, match=URL):
        watch.check()
    assert site.voided() == URL


def test_a_device_that_reports_a_fenced_host_on_voids_the_certificate(site: Site) -> None:
    site.certify()
    watch = site.watch(URL)
    watch.check()
    site.on = True
    site.clock.advance(_watch.LOOK)
    with pytest.raises(CertificateError, match=r"STOP: cmp01 shows life .*: ipmi says that cmp01 is on"):
        watch.check()
    assert site.voided() == "ipmi says that cmp01 is on"


def test_a_host_that_is_forced_up_is_not_dead_for_nova(site: Site) -> None:
    site.certify()
    watch = site.watch(URL)
    watch.check()
    site.service.update(forced_down=False, updated_at="t1")
    site.clock.advance(_watch.LOOK)
    with pytest.raises(CertificateError, match="forced it up"):
        watch.check()
    assert "forced it up" in site.voided()


def test_a_change_by_a_person_is_no_heartbeat_but_the_next_one_is(site: Site) -> None:
    site.certify()
    watch = site.watch(URL)
    watch.check()
    site.service.update(disabled_reason="ticket 4711", updated_at="t1")
    site.clock.advance(_watch.LOOK)
    watch.check()
    assert not site.voided()
    site.service["updated_at"] = "t2"
    site.clock.advance(_watch.LOOK)
    with pytest.raises(CertificateError, match="t1 → t2"):
        watch.check()


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ({"observed_state": "on"}, "does not prove"),
        ({"observed_state": "crash kernel"}, "does not prove"),
        ({"kind": "kdump"}, "does not prove"),
        ({"kind": "kdump", "observed_state": "silent"}, "does not prove"),
        ({"kind": "watchdog", "observed_state": "crash kernel"}, "does not prove"),
        ({"kind": "luck"}, "does not prove"),
        ({"kind": "operator", "confirmed_by": "Ada"}, "does not prove"),
        ({"kind": "operator", "confirmed_reason": "cords"}, "does not prove"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(site: Site, certificate: Json, words: str) -> None:
    site.certify(**certificate)
    with pytest.raises(CertificateError, match=words):
        site.watch(URL).check()


def test_a_kernel_that_writes_a_dump_may_refuse_connections_but_not_answer(site: Site) -> None:
    site.certify(kind="kdump", observed_state="crash kernel")
    watch = site.watch(URL)
    watch.check()
    site.answers[URL] = "refused"
    for _look in range(3):
        site.clock.advance(_watch.LOOK)
        watch.check()
    assert site.voided() == ""
    site.answers[URL] = "answers"
    site.clock.advance(_watch.LOOK)
    watch.check()  # what was answered the time before
    site.clock.advance(_watch.LOOK)
    with pytest.raises(CertificateError, match="STOP: cmp01 shows life"):
        watch.check()
    assert URL in site.voided()


def test_a_heartbeat_voids_what_a_crash_kernel_or_a_watchdog_proved(site: Site) -> None:
    for proof in ({"kind": "kdump", "observed_state": "crash kernel"},
                  {"kind": "watchdog", "observed_state": "watchdog expired"}):  # fmt: skip
        site.open_run()
        site.certify(**proof)
        watch = site.watch(URL)
        watch.check()
        site.service["updated_at"] += "+"
        site.clock.advance(_watch.LOOK)
        with pytest.raises(CertificateError, match="reported to Nova again"):
            watch.check()


def test_the_word_of_a_named_person_with_a_reason_counts(site: Site) -> None:
    site.certify(kind="operator", observed_state="unknown", confirmed_by="Ada", confirmed_reason="cords unplugged")
    site.watch(URL).check()


def test_a_certificate_of_an_earlier_run_of_the_incident_is_too_old(site: Site) -> None:
    site.certify()
    site.open_run()
    with pytest.raises(CertificateError, match="no power certificate in this run"):
        site.watch(URL).check()
