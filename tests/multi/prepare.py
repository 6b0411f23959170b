# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases: made once with the services' own tools, kept as a template, copied for each bed.

Run by the server before anything else; the first time takes half a minute, a copy a second.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import importlib.metadata
import os
import pwd
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pymysql
from bed.config import LOOPBACK, REGION, Options
from bed.rest import call

from multi.processes import Process, environment_of, program
from multi.settings import DATABASE_PASSWORD, DATABASE_USER, DATABASES, Ports, endpoints

_KEPT = ("mariadb", "fernet")
_BIN = Path(sys.executable).parent


def databases(options: Options, ports: Ports, mariadb: Process, needed: t.Sequence[Process], keystone: Process) -> None:
    """Put prepared databases in place.

    :param needed: What Keystone needs beside the database.
    """
    template = options.template / _version_key()
    if not template.is_dir():
        _make(options.directory, ports, mariadb, needed, keystone)
        _keep(options.directory, template)
        return
    for name in _KEPT:
        shutil.copytree(template / name, options.directory / name)


def connect(ports: Ports, user: str = DATABASE_USER, password: str = DATABASE_PASSWORD) -> t.Any:
    """A connection to the database server."""
    return pymysql.connect(host=LOOPBACK, port=ports.mariadb, user=user, password=password, autocommit=True)


def set_urls(ports: Ports) -> None:
    """The ports differ from bed to bed, and with them the URLs in Keystone's catalog."""
    with contextlib.closing(connect(ports)) as connection, connection.cursor() as cursor:
        for kind, (_name, url) in endpoints(ports).items():
            cursor.execute(
                "UPDATE keystone.endpoint JOIN keystone.service ON service.id = endpoint.service_id"
                " SET endpoint.url = %s WHERE service.type = %s",
                (url, kind),
            )


def _version_key() -> str:
    versions = [importlib.metadata.version(name) for name in ("nova", "openstack-placement", "keystone")]
    mariadb = subprocess.run([program("mariadbd"), "--version"], capture_output=True, text=True, check=True).stdout
    here = Path(__file__).read_bytes() + mariadb.encode()
    return "-".join([*versions, hashlib.sha256(here).hexdigest()[:8]])


def _make(directory: Path, ports: Ports, mariadb: Process, needed: t.Sequence[Process], keystone: Process) -> None:
    _run(
        directory,
        program("mariadb-install-db"),
        "--no-defaults",
        f"--datadir={directory}/mariadb",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        *as_root("--user=root"),
    )
    for one in (mariadb, *needed):
        one.start()
    mariadb.await_port(ports.mariadb)
    _create_databases(ports)
    _keystone(directory, ports)
    keystone.start()
    _run(directory, _BIN / "placement-manage", "--config-file", directory / "placement.conf", "db", "sync")
    _nova(directory)
    keystone.await_port(ports.keystone)
    _catalog(ports)
    for one in (keystone, *needed):
        one.kill()
    mariadb.stop()


def as_root(*options: str) -> tuple[str, ...]:
    """Options that servers want from root, who otherwise may not start them."""
    return options if os.geteuid() == 0 else ()


def _create_databases(ports: Ports) -> None:
    with contextlib.closing(connect(ports, "root", "")) as connection, connection.cursor() as cursor:
        for name in DATABASES:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb3")
        cursor.execute(f"CREATE USER {DATABASE_USER}@'{LOOPBACK}' IDENTIFIED BY '{DATABASE_PASSWORD}'")
        cursor.execute(f"GRANT ALL ON *.* TO {DATABASE_USER}@'{LOOPBACK}'")


def _keystone(directory: Path, ports: Ports) -> None:
    manage = [_BIN / "keystone-manage", "--config-file", directory / "keystone.conf"]
    (directory / "fernet").mkdir(mode=0o700)
    _run(directory, *manage, "db_sync")
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    _run(directory, *manage, "fernet_setup", f"--keystone-user={user}", f"--keystone-group={group}")
    urls = [f"--bootstrap-{interface}-url={ports.auth_url}" for interface in ("admin", "internal", "public")]
    _run(directory, *manage, "bootstrap", "--bootstrap-password=secret", f"--bootstrap-region-id={REGION}", *urls)


def _nova(directory: Path) -> None:
    """The cells name their databases by patterns, which Nova completes from nova.conf: ports differ from bed to bed."""
    manage = [_BIN / "nova-manage", "--config-file", directory / "nova.conf"]
    server = "{scheme}://{username}:{password}@{hostname}:{port}"
    _run(directory, *manage, "api_db", "sync")
    _run(directory, *manage, "cell_v2", "map_cell0", "--database_connection", server + "/nova_cell0?{query}")
    _run(directory, *manage, "db", "sync")
    _run(
        directory,
        *manage,
        "cell_v2",
        "create_cell",
        "--name",
        "cell1",
        "--database_connection",
        server + "/nova_cell1?{query}",
        "--transport-url",
        server + "/{path}",
    )


def _catalog(ports: Ports) -> None:
    """Nova's user, and the services and their endpoints, by Keystone's API."""
    ask = _admin(ports)
    users = {"name": "nova", "password": "nova-secret", "domain_id": "default"}
    user = ask("POST", "/users", {"user": users})["user"]["id"]
    project = ask("GET", "/projects?name=admin")["projects"][0]["id"]
    for role in ask("GET", "/roles")["roles"]:
        if role["name"] in ("admin", "service"):
            ask("PUT", f"/projects/{project}/users/{user}/roles/{role['id']}")
    for kind, (name, url) in endpoints(ports).items():
        if kind == "identity":  # bootstrap has made it
            continue
        service = ask("POST", "/services", {"service": {"type": kind, "name": name}})["service"]["id"]
        for interface in ("public", "internal", "admin"):
            ask(
                "POST",
                "/endpoints",
                {
                    "endpoint": {
                        "service_id": service,
                        "interface": interface,
                        "url": url,
                        "region_id": REGION,
                    }
                },
            )


def _admin(ports: Ports) -> t.Callable[..., t.Any]:
    domain = {"name": "Default"}
    user = {"name": "admin", "domain": domain, "password": "secret"}
    scope = {"project": {"name": "admin", "domain": domain}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    token = call("POST", f"{ports.auth_url}/auth/tokens", body)[1]["X-Subject-Token"]
    return lambda method, path, body=None: call(method, ports.auth_url + path, body, {"X-Auth-Token": token})[0]


def _run(directory: Path, *command: object) -> None:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        env=environment_of(directory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")


def _keep(directory: Path, template: Path) -> None:
    building = template.with_name(f"{template.name}.{os.getpid()}.new")
    for name in _KEPT:
        shutil.copytree(directory / name, building / name)
    try:
        building.rename(template)
    except OSError:  # another bed was faster; its template is as good
        shutil.rmtree(building)
