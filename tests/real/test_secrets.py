"""No secret in argv, output, events, artifacts or the journal of a run, however much it says."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import typing as t
from pathlib import Path

import ansible_runner
import journal_servers
import pytest
import sqlalchemy as sa
from bed.client import Bed
from driver import Playbooks
from scenes import HOST, RACK, Recovery, assert_recovered

JOURNAL_PASSWORD = "journal-pw-5f1c9b7ad"
WRONG = "wrong-pw-83be21d04"


@contextlib.contextmanager
def commands_sampled() -> t.Iterator[set[str]]:
    """The command lines of all processes of this machine while the block runs."""
    seen: set[str] = set()
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    seen.add(file.read_text(errors="replace").replace("\0", " "))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


class Database(t.NamedTuple):
    """A journal in PostgreSQL whose user needs a password."""

    url: str  # without it
    host: str
    as_superuser: str


@pytest.fixture(scope="module")
def postgresql() -> t.Iterator[journal_servers.Server]:
    with journal_servers.postgresql() as server:
        yield server


@pytest.fixture
def database(postgresql: journal_servers.Server) -> Database:
    superuser = postgresql.new_journal()[0]
    url = sa.make_url(superuser)
    engine = sa.create_engine(superuser, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if not connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = 'recovery'")):
            connection.execute(sa.text(f"CREATE ROLE recovery LOGIN PASSWORD '{JOURNAL_PASSWORD}'"))
        connection.execute(sa.text(f"ALTER DATABASE {url.database} OWNER TO recovery"))
        file = connection.scalar(sa.text("SELECT current_setting('hba_file')"))
        rules = "VALUES ('host all recovery all scram-sha-256'), ('host all all all trust')"
        connection.execute(sa.text(f"COPY ({rules}) TO '{file}'"))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    engine.dispose()
    return Database(str(url.set(username="recovery")), f"{url.host}:{url.port}", superuser)


def clouds_with_secret(cloud: Bed, path: Path) -> dict[str, t.Any]:
    """Let the only way into the cloud be a secret that no other word looks like; returns the auth options."""
    made = cloud.application_credential("secrets", None)
    auth = {
        "auth_url": f"http://127.0.0.1:{cloud.ports['others']}/identity/v3",
        "application_credential_id": made["id"],
        "application_credential_secret": made["secret"],
    }
    lab = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": "RegionOne"}
    path.write_text(json.dumps({"clouds": {"lab": lab}}))
    return auth


def run_by_runner(playbooks: Playbooks, private: Path, verbosity: int, **variables: t.Any) -> t.Any:
    """The playbook by its full name, as ansible-runner runs it."""
    (private / "project").mkdir(parents=True)
    return ansible_runner.run(
        private_data_dir=str(private),
        playbook="openstack_ha.recovery.recover_host",
        inventory=str(playbooks.inventory),
        extravars={"failed_hosts": HOST, **variables},
        envvars={
            **dict(playbooks.environment.items() - os.environ.items()),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        verbosity=verbosity,
        quiet=True,
    )


def files_with(secrets: t.Collection[str], folder: Path) -> list[tuple[Path, str]]:
    """The files below a folder that contain one of these."""
    contents = [(path, path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    return [(path, secret) for path, content in contents for secret in secrets if secret.encode() in content]


def dump(url: str) -> str:
    """Everything in a database."""
    engine = sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        found = [str(list(connection.execute(sa.select(table)))) for table in tables.sorted_tables]
    engine.dispose()
    assert len(found) > 5
    return "\n".join(found)


def assert_clean(secrets: t.Collection[str], commands: t.Collection[str], text: str) -> None:
    assert [command for command in commands for secret in secrets if secret in command] == []
    assert [(secret, text[text.index(secret) - 200 :][:400]) for secret in secrets if secret in text] == []


def test_a_run_of_ansible_runner_keeps_no_secret(
    cloud: Bed, recovery: Recovery, tmp_path: Path, database: Database
) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK, method="ipmi+redfish", timeout=4)
    auth = clouds_with_secret(cloud, tmp_path / "clouds.yaml")
    (tmp_path / "pgpass").write_text(f"{database.host}:*:recovery:{JOURNAL_PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    playbooks.journal_url = database.as_superuser
    playbooks.environment.update(
        OPENSTACK_HA_JOURNAL=database.url,
        PGPASSFILE=str(tmp_path / "pgpass"),
        OS_CLIENT_CONFIG_FILE=str(tmp_path / "clouds.yaml"),
        ANSIBLE_LOG_PATH=str(tmp_path / "runner" / "ansible.log"),
    )
    cloud.bmc_fault(HOST, "stuck", "ipmi")
    cloud.crash(HOST)
    cloud.fail_api(service="placement", status=500)

    with commands_sampled() as commands:
        run = run_by_runner(playbooks, tmp_path / "runner", verbosity=4)

    output = run.stdout.read()
    assert run.rc == 0, output
    assert_recovered(cloud, playbooks, vms)
    secrets = {cloud.hosts[HOST]["password"], auth["application_credential_secret"], JOURNAL_PASSWORD}
    assert any("ipmitool" in command for command in commands)
    assert_clean(secrets, commands, output + dump(database.as_superuser))
    assert files_with({"Fence, and prove it"}, tmp_path / "runner"), "or this looks in the wrong place"
    assert files_with(secrets, tmp_path / "runner") == []


def test_a_run_that_fails_says_no_secret(cloud: Bed, recovery: Recovery, tmp_path: Path, database: Database) -> None:
    cloud.fill(HOST, 1)
    playbooks = recovery(RACK, method="ipmi+redfish", timeout=3)
    auth = clouds_with_secret(cloud, tmp_path / "clouds.yaml")
    (tmp_path / "secret").write_text(auth["application_credential_secret"])
    lookup = f"{{{{ lookup('ansible.builtin.file', '{tmp_path}/secret') }}}}"
    source = json.loads(playbooks.inventory.read_text())
    del source["cloud"]
    source.update(auth_type="v3applicationcredential", auth={**auth, "application_credential_secret": lookup})
    playbooks.inventory.write_text(json.dumps(source))
    playbooks.journal_url = database.as_superuser
    del playbooks.environment["OS_CLIENT_CONFIG_FILE"]
    playbooks.environment.update(
        OPENSTACK_HA_JOURNAL=database.url.replace("@", f":{JOURNAL_PASSWORD}@"), ANSIBLE_DISPLAY_ARGS_TO_STDOUT="1"
    )
    cloud.bmc_fault(HOST, "refuse")
    cloud.crash(HOST)

    with commands_sampled() as commands:
        outcome = playbooks.recover(HOST, arguments=["-vvvv"])

    assert outcome.rc != 0
    assert [host["outcome"] for host in playbooks.report()["hosts"]] == ["held"]
    secrets = {cloud.hosts[HOST]["password"], auth["application_credential_secret"], JOURNAL_PASSWORD}
    assert_clean(secrets, commands, outcome.out + dump(database.as_superuser))
    assert cloud.ever_ran_twice() == []


@pytest.mark.parametrize("wrong", ["clouds.yaml", "journal"])
def test_a_wrong_password_is_not_shown(
    cloud: Bed, recovery: Recovery, tmp_path: Path, database: Database, wrong: str
) -> None:
    playbooks = recovery(RACK)
    if wrong == "journal":
        playbooks.environment["OPENSTACK_HA_JOURNAL"] = database.url.replace("@", f":{WRONG}@")
    else:
        text = cloud.clouds_yaml.read_text().replace("password: secret", f"password: {WRONG}")
        assert WRONG in text
        (tmp_path / "clouds.yaml").write_text(text)
        playbooks.environment["OS_CLIENT_CONFIG_FILE"] = str(tmp_path / "clouds.yaml")
    cloud.crash(HOST)

    outcome = playbooks.recover(HOST, arguments=["-vvvv"])

    assert outcome.rc != 0
    assert {"journal": "password authentication failed", "clouds.yaml": "HTTP 401"}[wrong] in outcome.out, outcome.out
    assert WRONG not in outcome.out
