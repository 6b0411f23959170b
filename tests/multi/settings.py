# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports of the services, and their configuration files."""

from __future__ import annotations

import typing as t

from bed import config
from bed.config import LOOPBACK, Options

DATABASES = ("keystone", "placement", "nova_api", "nova_cell0", "nova_cell1")
DATABASE_USER = DATABASE_PASSWORD = "bed"
#: Of each API.
THREADS = 16
_FIRST = 90  # of the block of 100 that bed.config.free_block looks for


class Ports(config.Ports):
    """The block of ports of one bed, with those of the services that are programs of their own."""

    keystone = property(lambda self: self.base + _FIRST)
    mariadb = property(lambda self: self.base + _FIRST + 1)
    rabbitmq = property(lambda self: self.base + _FIRST + 2)
    rabbitmq_nodes = property(lambda self: self.base + _FIRST + 3)
    epmd = property(lambda self: self.base + _FIRST + 4)
    memcached = property(lambda self: self.base + _FIRST + 5)

    @property
    def auth_url(self) -> str:
        return f"http://{LOOPBACK}:{self.keystone}/v3"


def endpoints(ports: Ports) -> dict[str, tuple[str, str]]:
    """Service type to the service's name and its URL in Keystone's catalog."""
    others = f"http://{LOOPBACK}:{ports.others}"
    volume = others + "/volume/v3/$(project_id)s"
    return {
        "identity": ("keystone", ports.auth_url),
        "compute": ("nova", f"http://{LOOPBACK}:{ports.compute}/v2.1"),
        "placement": ("placement", f"http://{LOOPBACK}:{ports.placement}"),
        "image": ("glance", f"{others}/image"),
        "network": ("neutron", f"{others}/network"),
        "block-storage": ("cinder", volume),
        "volumev3": ("cinderv3", volume),
    }


def write(options: Options, ports: Ports) -> None:
    """All configuration files, and ``clouds.yaml`` for clients."""
    files = {
        "clouds.yaml": config.clouds_yaml(ports),
        "nova.conf": _nova_conf(options, ports),
        "placement.conf": _placement_conf(ports),
        "keystone.conf": _keystone_conf(options, ports),
        "rabbitmq.conf": _rabbitmq_conf(ports),
        "enabled_plugins": "[].\n",
    }
    for name, content in files.items():
        (options.directory / name).write_text(content)
    for host in options.hosts:
        (options.directory / f"{host.name}.conf").write_text(_compute_conf(options, host.name))


def _nova_conf(options: Options, ports: Ports) -> str:
    sections = config.nova_sections(options, ports)
    # the one-process bed needs these, real messaging does not
    for name in ("rpc_response_timeout", "long_rpc_timeout", "log_file"):
        del sections["DEFAULT"][name]
    more = {
        "DEFAULT.use_stderr": True,
        "DEFAULT.transport_url": f"rabbit://guest:guest@{LOOPBACK}:{ports.rabbitmq}/",
        "conductor.workers": 2,
        "keystone_authtoken.memcached_servers": f"{LOOPBACK}:{ports.memcached}",
    }
    sections["api_database"] = _database(ports, "nova_api")
    sections["database"] = _database(ports, "nova_cell1")
    return config.ini(config.with_more(config.with_more(sections, more), options.conf))


def _compute_conf(options: Options, host: str) -> str:
    home = options.directory / "computes" / host
    return config.ini({"DEFAULT": {"host": host, "state_path": home}, "oslo_concurrency": {"lock_path": home / "lock"}})


def _placement_conf(ports: Ports) -> str:
    authtoken = config.neighbours(ports)["keystone_authtoken"]
    return config.ini(
        {
            "api": {"auth_strategy": "keystone"},
            "placement_database": _database(ports, "placement"),
            "keystone_authtoken": {
                **authtoken,
                "service_type": "placement",
                "memcached_servers": f"{LOOPBACK}:{ports.memcached}",
            },
        }
    )


def _keystone_conf(options: Options, ports: Ports) -> str:
    return config.ini(
        {
            "database": _database(ports, "keystone"),
            "token": {"provider": "fernet"},
            "fernet_tokens": {"key_repository": options.directory / "fernet"},
            "cache": {
                "enabled": True,
                "backend": "dogpile.cache.memcached",
                "memcache_servers": f"{LOOPBACK}:{ports.memcached}",
            },
        }
    )


def _rabbitmq_conf(ports: Ports) -> str:
    settings: dict[str, t.Any] = {
        "listeners.tcp.1": f"{LOOPBACK}:{ports.rabbitmq}",
        "vm_memory_high_watermark.absolute": "1GB",
        "disk_free_limit.absolute": "50MB",
        "log.console.level": "warning",
        "loopback_users": "none",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def _database(ports: Ports, name: str) -> dict[str, t.Any]:
    address = f"{LOOPBACK}:{ports.mariadb}"
    url = f"mysql+pymysql://{DATABASE_USER}:{DATABASE_PASSWORD}@{address}/{name}?charset=utf8mb4"
    # a request takes up to two connections: with fewer than two per thread, all can wait for the second one
    return {"connection": url, "max_pool_size": 2 * THREADS, "max_overflow": THREADS}
