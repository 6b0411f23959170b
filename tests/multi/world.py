# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that belongs to a multi-process bed, put together; and what a client may do to it."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import typing as t
from pathlib import Path

from bed import config
from bed.config import LOOPBACK, Options
from bed.image import Image
from bed.network import Network
from bed.probe import Probe
from bed.rest import BedError, call
from bed.stage import Stage
from bed.volume import Volume
from bed.web import App, Environ, StartResponse, json_app, serve

from multi import prepare, settings
from multi.hosts import Host
from multi.knobs import Knobs, haste_file
from multi.processes import Process, program
from multi.settings import THREADS, Ports
from multi.truth import FileTruth

_BIN = Path(sys.executable).parent

#: Of gunicorn's configuration: a worker that is still loading its application when the master is killed would stay.
_WORKER_DIES_TOO = """
def post_fork(server, worker):
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
"""


class World(Stage):
    """The bed. Public methods that begin with ``do_`` are what a client may call."""

    def __init__(self, options: Options, ports: Ports) -> None:
        self.truth = FileTruth(options.directory)
        super().__init__(options.directory, ports, self.truth)
        self.options = options
        self.services = ports
        self.processes = {one.name: one for one in (*_foundations(options, ports), *_services(options, ports))}
        self.knobs = {spec.name: Knobs(options.directory, spec, options.shared_storage) for spec in options.hosts}

    def build(self) -> None:
        """Start everything; in the main thread."""
        settings.write(self.options, self.services)
        run = self.processes
        needed = [run["memcached"]]
        prepare.databases(self.options, self.services, run["mariadb"], needed, run["keystone"])
        serve(_by_prefix(self.services), self.services.others)
        self._start_foundations()
        for name in ("keystone", "placement", "nova-conductor", "nova-scheduler", "nova-api"):
            run[name].start()
        self.build_hosts(self.options.hosts, self._make_host)
        serve(json_app(self.control), self.ports.control)
        self.start_sims()
        for host in self.hosts.values():
            host.start()
        self._await_cloud()

    def _start_foundations(self) -> None:
        run, ports = self.processes, self.services
        for name in ("epmd", "mariadb", "memcached"):
            run[name].start()
        run["epmd"].await_port(ports.epmd)
        run["rabbitmq"].start()
        run["mariadb"].await_port(ports.mariadb)
        prepare.set_urls(ports)
        run["rabbitmq"].await_port(ports.rabbitmq)

    def _make_host(self, spec: config.Host, probe_port: int) -> Host:
        command = [sys.executable, "-m", "multi.compute", self.directory, spec.name]
        process = Process(spec.name, command, self.directory)
        self.processes[spec.name] = process
        return Host(spec, process, self.truth, Probe(probe_port), self._in_main_thread)

    def _await_cloud(self) -> None:
        """Until the APIs answer, every nova-compute has told Placement what it has, and the cell knows its hosts."""
        api, url = self.processes["nova-api"], f"http://{LOOPBACK}:{self.services.compute}/"
        api.wait_until(lambda: _answers(url), f"answer on {url}")
        api.wait_until(lambda: self._reported() == len(self.hosts), "hear of every host", 180)
        discover = Process(
            "discover_hosts",
            [_BIN / "nova-manage", "--config-file", self.directory / "nova.conf", "cell_v2", "discover_hosts"],
            self.directory,
        )
        discover.start()
        api.wait_until(lambda: not discover.alive, "see the hosts discovered")

    def _reported(self) -> int:
        """How many hosts have told Placement what they have; raises when one never will."""
        for process in self.processes.values():
            process.check()
        rows = self._select("SELECT COUNT(DISTINCT resource_provider_id) FROM placement.inventories")
        return int(rows[0][0])

    def _select(self, query: str, *values: t.Any) -> list[tuple[t.Any, ...]]:
        with contextlib.closing(prepare.connect(self.services)) as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def close(self) -> None:
        super().close()
        for process in self.processes.values():
            process.kill()

    def do_process(self, name: str, what: str) -> None:
        """``start``, ``stop`` or ``kill`` a service of the cloud."""
        process = self.processes[name]
        if what == "start":
            self._in_main_thread(process.start)
        else:
            {"stop": process.stop, "kill": process.kill}[what]()

    def do_freeze(self, name: str, on: bool) -> None:
        """Let a service stand still, and go on."""
        self.processes[name].signal(signal.SIGSTOP if on else signal.SIGCONT)

    def do_haste(self, on: bool) -> None:
        file = haste_file(self.directory)
        file.touch() if on else file.unlink(missing_ok=True)

    def do_knobs(self, host: str | None, knobs: dict[str, t.Any]) -> None:
        for one in [self.knobs[host]] if host else self.knobs.values():
            one.turn(knobs)

    def do_server_states(self, reservation: str) -> list[tuple[t.Any, ...]]:
        query = "SELECT uuid, vm_state, task_state FROM {}.instances WHERE reservation_id = %s AND deleted = 0"
        return [row for cell in ("nova_cell0", "nova_cell1") for row in self._select(query.format(cell), reservation)]


def _foundations(options: Options, ports: Ports) -> list[Process]:
    here = options.directory
    mariadb = [
        program("mariadbd"),
        "--no-defaults",
        f"--datadir={here}/mariadb",
        "--socket=socket",
        "--pid-file=pid",
        f"--port={ports.mariadb}",
        f"--bind-address={LOOPBACK}",
        "--skip-name-resolve",
        "--max-connections=1000",
        "--skip-log-bin",
        "--performance-schema=OFF",
        "--innodb-buffer-pool-size=128M",
        "--innodb-log-file-size=32M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        *prepare.as_root("--user=root"),
    ]
    memcached = [program("memcached"), "-l", LOOPBACK, "-p", str(ports.memcached), *prepare.as_root("-u", "root")]
    epmd = {"ERL_EPMD_PORT": ports.epmd, "ERL_EPMD_ADDRESS": LOOPBACK}
    return [
        Process("mariadb", mariadb, here),
        Process("memcached", memcached, here),
        # RabbitMQ would start one that outlives it
        Process("epmd", [program("epmd")], here, **epmd),
        Process("rabbitmq", ["/usr/lib/rabbitmq/bin/rabbitmq-server"], here, **epmd, **_rabbitmq(here, ports)),
    ]


def _rabbitmq(here: Path, ports: Ports) -> dict[str, t.Any]:
    return {
        "RABBITMQ_NODENAME": f"bed{ports.base}@localhost",
        "RABBITMQ_NODE_PORT": ports.rabbitmq,
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_DIST_PORT": ports.rabbitmq_nodes,
        "RABBITMQ_MNESIA_BASE": here / "rabbitmq",
        "RABBITMQ_LOG_BASE": here / "log",
        "RABBITMQ_CONFIG_FILE": here / "rabbitmq.conf",
        "RABBITMQ_ENABLED_PLUGINS_FILE": here / "enabled_plugins",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # the script then becomes the server, instead of waiting for it: a signal reaches the right one
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def _services(options: Options, ports: Ports) -> list[Process]:
    here = options.directory
    nova = ["--config-file", str(here / "nova.conf")]
    paste = Path(sys.prefix) / "etc" / "nova" / "api-paste.ini"
    return [
        _wsgi("keystone", "keystone.wsgi.api", ports.keystone, here, OS_KEYSTONE_CONFIG_DIR=here),
        _wsgi("placement", "placement.wsgi.api", ports.placement, here, OS_PLACEMENT_CONFIG_DIR=here),
        _wsgi(
            "nova-api",
            "nova.wsgi.osapi_compute",
            ports.compute,
            here,
            OS_NOVA_CONFIG_DIR=here,
            OS_NOVA_CONFIG_FILES=f"{paste};nova.conf",
        ),
        Process("nova-conductor", [_BIN / "nova-conductor", *nova], here),
        Process("nova-scheduler", [_BIN / "nova-scheduler", *nova], here),
    ]


def _wsgi(name: str, module: str, port: int, here: Path, **environment: t.Any) -> Process:
    settings_of_gunicorn = {
        "wsgi_app": f"{module}:application",
        "bind": f"{LOOPBACK}:{port}",
        "worker_class": "gthread",
        "threads": THREADS,
        "timeout": 600,
        "keepalive": 75,
        "graceful_timeout": 1,
        "control_socket_disable": True,
        "accesslog": str(here / "log" / f"{name}.access"),
        "access_log_format": '%(t)s "%(r)s" %(s)s "%(a)s"',
    }
    file = here / f"{name}.gunicorn.py"
    file.write_text("".join(f"{key} = {value!r}\n" for key, value in settings_of_gunicorn.items()) + _WORKER_DIES_TOO)
    # not by arguments: Keystone would take them for its own
    return Process(
        name, [_BIN / "gunicorn"], here, **environment, GUNICORN_CMD_ARGS=shlex.join(["--config", str(file)])
    )


def _by_prefix(ports: Ports) -> App:
    """The stand-ins for image, network and volume on one port, told apart by the first part of the path."""
    url = f"http://{LOOPBACK}:{ports.others}"
    apps = {"image": Image(url).app(), "network": Network(url).app(), "volume": Volume(url).app()}

    def app(environ: Environ, start_response: StartResponse) -> t.Iterable[bytes]:
        return apps[environ["PATH_INFO"].split("/", 2)[1]](environ, start_response)

    return app


def _answers(url: str) -> bool:
    try:
        call("GET", url, timeout=30)
    except (BedError, OSError):
        return False
    return True
