"""What is told, told for real: mail to a mail server with TLS and a login, notifications over RabbitMQ, and to whom."""

from __future__ import annotations

import contextlib
import dataclasses
import email
import email.message
import json
import queue
import ssl
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from bed.fakes import PROJECT
from bed.tls import server_pem
from driver import Playbooks, until
from journal_servers import free_ports
from rabbit import rabbit
from responders import Hosts, Scene

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.notices import EVERYBODY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import notify
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_bus import Bus
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_mail import Mail

Json = t.Dict[str, t.Any]
LONG = 180
MINE = {"p1": [{"id": "u1", "name": "web", "host": "cmp01", "state": "active", "deadline": 60}]}
ALL = {"hosts": ["cmp01"], "projects": {**MINE, "p2": [{"id": "u2", "name": "secret", "host": "cmp01"}]}}


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


@dataclasses.dataclass
class MailServer:
    """A real one, on loopback: STARTTLS is required, and so is a login."""

    port: int
    ca: Path
    received: queue.Queue[email.message.Message]
    refuse: set[str]

    def next(self) -> email.message.Message:
        return self.received.get(timeout=LONG)


@pytest.fixture
def mail_server(tmp_path: Path) -> t.Iterator[MailServer]:
    controller = pytest.importorskip("aiosmtpd.controller")
    smtp = pytest.importorskip("aiosmtpd.smtp")
    found = MailServer(free_ports(1)[0], tmp_path / "tls" / "ca.pem", queue.Queue(), set())

    class Handler:
        async def handle_RCPT(
            self, server: t.Any, session: t.Any, envelope: t.Any, address: str, options: t.Any
        ) -> str:
            if address in found.refuse:
                return "550 nobody of this name"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server: t.Any, session: t.Any, envelope: t.Any) -> str:
            found.received.put(email.message_from_bytes(envelope.content))
            return "250 taken"

    def authenticate(_server: t.Any, _session: t.Any, _envelope: t.Any, _mechanism: str, data: t.Any) -> t.Any:
        return smtp.AuthResult(success=(data.login, data.password) == (b"ha", b"s3cret"), handled=False)

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server_pem(tmp_path / "tls", ["127.0.0.1"]))
    running = controller.Controller(
        Handler(), hostname="127.0.0.1", port=found.port, tls_context=tls, require_starttls=True,
        authenticator=authenticate, auth_required=True, ready_timeout=60,
    )  # fmt: skip
    running.start()
    yield found
    running.stop()


def mailbox(at: MailServer, directory: Path, password: str = "s3cret\n", **more: t.Any) -> Mail:
    (directory / "password").write_text(password)
    settings = {
        "name": "duty", "server": f"127.0.0.1:{at.port}", "security": "starttls", "ca_file": str(at.ca),
        "user": "ha", "password_file": str(directory / "password"), "from": "ha@example.net",
        "to": ["duty@example.net", "boss@example.net"], **more,
    }  # fmt: skip
    return Mail(settings, print)


@contextlib.contextmanager
def notifier(journal: Journal, *channels: notify.Channel) -> t.Iterator[notify.Notifier]:
    it = notify.Notifier(channels, journal, "R", print)
    it.start()
    try:
        yield it
    finally:
        it.stop(60)


def text_of(mail: email.message.Message) -> str:
    return str(mail.get_payload(decode=True), "utf-8").replace("\r\n", "\n")


def sent(journal: Journal) -> bool:
    return all(it["state"] == "sent" for it in journal.notices())


def test_mail_arrives_with_tls_and_a_login_and_owners_see_nothing_but_their_own_vms(
    journal: Journal, mail_server: MailServer, tmp_path: Path
) -> None:
    duty = mailbox(mail_server, tmp_path)
    owner = mailbox(mail_server, tmp_path, name="owner", to=["owner@example.org"], projects=["p1"])
    with notifier(journal, duty, owner) as it:
        it.tell("vms_affected", ALL, run_id="11111111-1111-4111-8111-111111111111")
        it.tell("run_ended", {"hosts": {"cmp01": "recovered"}})
        came = [mail_server.next() for _mail in range(3)]
        mails = {(mail["To"], mail["X-Openstack-Ha-Event"]): mail for mail in came}
        until(lambda: sent(journal))
    everything = ("duty@example.net, boss@example.net", "vms_affected")
    assert set(mails) == {everything, (everything[0], "run_ended"), ("owner@example.org", "vms_affected")}
    assert mails[everything]["Subject"] == "[openstack_ha R] vms affected: cmp01"
    theirs = mails["owner@example.org", "vms_affected"]
    assert theirs["Subject"] == "[openstack_ha R] vms affected: web"
    text = text_of(theirs)
    assert json.loads(text.partition("\n\n")[2])["data"] == {
        "projects": {"p1": [{"id": "u1", "name": "web", "state": "active", "deadline": 60}]}
    }
    assert "secret" not in text
    assert "cmp01" not in text
    assert theirs["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("more", "password", "why"),
    [
        ({}, "wrong", "answered 535"),
        ({"security": "none"}, "s3cret", "SMTP AUTH extension not supported|answered 530"),
        ({"ca_file": None}, "s3cret", "certificate verify failed|CERTIFICATE_VERIFY_FAILED"),
        ({"to": ["nobody@example.net"]}, "s3cret", "refused all recipients: 550 nobody of this name"),
        ({"password_file": "/nowhere"}, "s3cret", "/nowhere: No such file"),
        ({"server": "127.0.0.1:1"}, "s3cret", "127.0.0.1:1: Connection refused"),
    ],
)
def test_mail_that_is_refused_says_why_without_the_password(
    mail_server: MailServer, tmp_path: Path, more: Json, password: str, why: str
) -> None:
    mail_server.refuse.add("nobody@example.net")
    notice = {"id": "n", "event": "verdict", "made_at": "now", "scope": "R", "incident_id": None, "run_id": None}
    reason = mailbox(mail_server, tmp_path, password, **more).post({**notice, "body": {"host": "cmp01"}})
    assert reason
    assert any(words in reason for words in why.split("|")), reason
    assert password not in reason
    assert mail_server.received.empty()


class Listener:
    """A service that listens to notifications, with a connection of its own."""

    def __init__(self, url: str) -> None:
        import oslo_messaging
        from oslo_config import cfg

        self.received: queue.Queue[tuple[str, str, Json]] = queue.Queue()
        config = cfg.ConfigOpts()
        config([], project="listener", default_config_files=[], default_config_dirs=[])
        self._transport = oslo_messaging.get_notification_transport(config, url=url)
        self._server = oslo_messaging.get_notification_listener(
            self._transport, [oslo_messaging.Target(topic="notifications")], [self], executor="threading"
        )
        self._server.start()

    def info(self, _context: Json, publisher: str, event: str, payload: Json, _metadata: Json) -> None:
        self.received.put((publisher, event, payload))

    def close(self) -> None:
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


def test_notifications_arrive_over_a_broker_also_those_that_were_told_while_it_was_away(
    journal: Journal, tmp_path: Path
) -> None:
    pytest.importorskip("oslo_messaging")
    (tmp_path / "rabbit").mkdir()
    with rabbit(tmp_path / "rabbit") as broker:
        (tmp_path / "url").write_text(broker.url + "\n")
        settings = {"url_file": str(tmp_path / "url"), "topics": ["notifications"], "publisher_id": "openstack_ha.ctl1"}
        channels = [Bus({"name": "bus", **settings}), Bus({"name": "owners", "projects": ["p1"], **settings})]
        with notifier(journal, *channels) as it, contextlib.closing(Listener(broker.url)) as listener:
            it.tell("vms_affected", ALL)
            payloads = [listener.received.get(timeout=LONG) for _number in range(2)]
            assert {(publisher, event) for publisher, event, _payload in payloads} == {
                ("openstack_ha.ctl1", "openstack_ha.vms_affected")
            }
            assert {payload["version"] for *_from, payload in payloads} == {"1.0"}
            assert sorted(len(payload["data"]["projects"]) for *_from, payload in payloads) == [1, 2]
        broker.stop()
        reason = channels[0].post(journal.notices()[0])
        assert reason
        assert "guest:guest" not in reason
        with notifier(journal, channels[0]) as it:
            it.tell("run_ended", {"hosts": {"cmp01": "recovered"}})
            until(lambda: journal.notices(event="run_ended")[0]["reason"], LONG)
            broker.start()
            with contextlib.closing(Listener(broker.url)) as again:
                _publisher, event, payload = again.received.get(timeout=LONG)
                assert (event, payload["data"]) == ("openstack_ha.run_ended", {"hosts": {"cmp01": "recovered"}})
                until(lambda: sent(journal), LONG)


def test_what_a_run_has_to_tell_is_handed_on_by_one_responder(
    journal: Journal, mail_server: MailServer, tmp_path: Path
) -> None:
    with notifier(journal, mailbox(mail_server, tmp_path)):
        journal.add_notice("R", EVERYBODY, "vm_notify", ALL)
        assert mail_server.next()["X-Openstack-Ha-Event"] == "vm_notify"
        until(lambda: sent(journal))
    assert mail_server.received.empty()
    assert sorted(it["target"] for it in journal.notices()) == [EVERYBODY, "duty"]


def _hears(journal: Journal) -> bool:
    seen = journal.observers("RegionOne")
    return bool(seen) and (seen[0]["view"] or {}).get("networks", {}).get("admin", {}).get("hears") == 6


def test_owners_are_told_which_vms_a_failed_host_takes_with_it_and_what_became_of_them(
    cloud: Bed, mail_server: MailServer, tmp_path: Path
) -> None:
    hosts = [f"cmp{number:02d}" for number in range(1, 7)]
    inventory = cloud.segments_file(
        tmp_path / "lab.failover_segments.yml", {"rack1": {"hosts": hosts, "shared_storage": True}}
    )
    vms = cloud.fill("cmp01", 2)
    with contextlib.closing(Scene(tmp_path, inventory, cloud.clouds_yaml)) as scene:
        (responder,) = scene.add(["ctl1"], [f"sqlite:///{tmp_path}/journal.db"])
        config = json.loads((tmp_path / "ctl1.yml").read_text())
        mailbox(mail_server, tmp_path)
        config["mail"] = [
            {"name": "owner", "server": f"127.0.0.1:{mail_server.port}", "ca_file": str(mail_server.ca), "user": "ha",
             "password_file": str(tmp_path / "password"), "from": "ha@example.net", "to": ["owner@example.org"],
             "projects": [PROJECT]},
        ]  # fmt: skip
        (tmp_path / "ctl1.yml").write_text(json.dumps(config))
        responder.start()
        with Hosts(hosts, [responder]) as beating, open_journal(responder.journal_url) as journal:
            until(lambda: _hears(journal))
            cloud.crash("cmp01")
            beating.pull_plug("cmp01")
            first, last = mail_server.next(), mail_server.next()
    assert [it["X-Openstack-Ha-Event"] for it in (first, last)] == ["vms_affected", "vms_ended"]
    for mail, state in ((first, "active"), (last, "verified")):
        text = text_of(mail)
        told = json.loads(text.partition("\n\n")[2])["data"]["projects"]
        assert {vm["id"]: vm["state"] for vm in told[PROJECT]} == dict.fromkeys(vms, state)
        assert "cmp0" not in text
    calls = [line for line in cloud.api_log() if line["method"] == "PUT" and "os-services" in line["path"]]
    assert calls


def test_a_vm_that_is_left_to_its_owner_is_evacuated_after_the_deadline_unless_somebody_takes_care_of_it(
    cloud: Bed, tmp_path: Path
) -> None:
    hosts = [f"cmp{number:02d}" for number in range(1, 4)]
    inventory = cloud.segments_file(
        tmp_path / "lab.failover_segments.yml", {"rack1": {"hosts": hosts, "shared_storage": True}}
    )
    left = {"openstack_ha:method": "notify", "openstack_ha:deadline": "1", "openstack_ha:otherwise": "evacuate"}
    late, kept = cloud.fill("cmp01", 2, metadata=left)
    (plain,) = cloud.fill("cmp01", 1)
    playbooks = Playbooks(inventory, tmp_path, cloud.clouds_yaml)
    cloud.crash("cmp01")

    assert not playbooks.recover("cmp01"), "two VMs are left"

    assert [playbooks.ledger()[vm]["state"] for vm in (late, kept, plain)] == ["pending", "pending", "verified"]
    with playbooks.journal() as journal:
        (notice,) = journal.notices(event="vm_notify")
        assert {vm["id"]: vm["otherwise"] for vm in notice["body"]["projects"][PROJECT]} == dict.fromkeys(
            (late, kept), "evacuate"
        )
        assert {it["host"] for it in journal.open_questions("RegionOne")} == {f"cmp01/{late}", f"cmp01/{kept}"}
    who = {"answered_by": "bob", "answer_reason": "failed-over"}
    answered = playbooks.run("answer_incident", host=f"cmp01/{kept}", answer="hold", **who)
    assert answered, answered.out

    again = playbooks.recover("cmp01")

    assert again, again.out
    ledger = playbooks.ledger()
    assert ledger[late]["state"] == "verified"
    assert ledger[kept]["state"] == "skipped"
    assert "bob takes care of it: failed-over" in ledger[kept]["reason"]
    assert {vm for vms in cloud.running().values() for vm in vms} == {late, plain}
    assert cloud.ever_ran_twice() == []
