# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a bed, its ports, and the configuration files made from them."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import typing as t
import uuid
from pathlib import Path

LOOPBACK = "127.0.0.1"
#: Where everything of a bed listens, which may be in a network of its own.
ADDRESS = os.environ.get("BED_ADDRESS", LOOPBACK)
Sections = t.Dict[str, t.Dict[str, t.Any]]
REGION = "RegionOne"
FIXED_PORTS = 10
PORTS_PER_HOST = 3
_FIRST_PORT, _LAST_PORT, _STEP = 15000, 31000, 100  # below the range for outgoing connections


_CLAIMS: list[socket.socket] = []


@dataclasses.dataclass
class Host:
    """A host to be: its service host, and the hypervisor hostname where that is another name."""

    name: str
    hypervisor: str = ""
    vcpus: int = 128
    memory_mb: int = 524288
    local_gb: int = 10000

    def __post_init__(self) -> None:
        self.hypervisor = self.hypervisor or self.name

    @property
    def uuid(self) -> str:
        """The system uuid that its BMC reports."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, "bed-system-" + self.name))

    @property
    def serial(self) -> str:
        return "SN-" + self.uuid[:8].upper()

    @property
    def bmc_password(self) -> str:
        """One per host; IPMI 2.0 takes at most 20 characters."""
        return "pw-" + self.uuid[24:36]


@dataclasses.dataclass
class Options:
    """How a bed is to be built.

    :param max_microversion: Nova says that it knows no newer one, as an older cloud does.
    :param conf: More of nova.conf, as ``{"group.key": "value"}``.
    :param template: Where migrated, empty databases are kept between starts.
    """

    directory: Path
    template: Path
    hosts: list[Host]
    port: int | None = None
    max_microversion: str | None = None
    report_interval: int = 1
    service_down_time: int = 4
    shared_storage: bool = True
    debug: bool = False
    conf: dict[str, str] = dataclasses.field(default_factory=dict)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1, default=str))

    @classmethod
    def read(cls, path: Path) -> Options:
        raw = json.loads(path.read_text())
        raw.update(
            directory=Path(raw["directory"]),
            template=Path(raw["template"]),
            hosts=[Host(**host) for host in raw["hosts"]],
        )
        return cls(**raw)


@dataclasses.dataclass
class Ports:
    """The block of ports of one bed."""

    base: int

    address = property(lambda self: ADDRESS)
    redfish = property(lambda self: self.base)
    compute = property(lambda self: self.base + 1)
    placement = property(lambda self: self.base + 2)
    others = property(lambda self: self.base + 3)
    control = property(lambda self: self.base + 4)

    @property
    def auth_url(self) -> str:
        return f"http://{ADDRESS}:{self.others}/identity/v3"

    def host(self, index: int) -> dict[str, int]:
        first = self.base + FIXED_PORTS + PORTS_PER_HOST * index
        return {"ipmi": first, "redfish": first + 1, "probe": first + 2}


def free_block(hosts: int) -> int:
    """The first port of a block in which nobody listens, and that no other bed is about to take.

    The block is claimed by its first UDP port, which is used for nothing else, until this process ends.
    """
    for base in range(_FIRST_PORT, _LAST_PORT, _STEP):
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((ADDRESS, base))
        except OSError:
            claim.close()
            continue
        if all(is_free(base + offset) for offset in range(1, FIXED_PORTS + PORTS_PER_HOST * hosts)):
            _CLAIMS.append(claim)
            return base
        claim.close()
    raise RuntimeError(f"no block of free ports between {_FIRST_PORT} and {_LAST_PORT}")


def is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((ADDRESS, port))
            except OSError:
                return False
    return True


def nova_conf(options: Options, ports: Ports) -> str:
    """nova.conf; each unusual value has its reason in :mod:`bed.patches` or beside it."""
    return ini(with_more(nova_sections(options, ports), options.conf))


def with_more(sections: Sections, conf: t.Mapping[str, t.Any]) -> Sections:
    """The sections with ``{"group.key": value}`` added or replaced."""
    for name, value in conf.items():
        group, _dot, key = name.partition(".")
        sections.setdefault(group, {})[key] = value
    return sections


def nova_sections(options: Options, ports: Ports) -> Sections:
    return {
        "DEFAULT": _defaults(options),
        "api_database": database(options.directory, "api"),
        "database": database(options.directory, "cell1"),
        "oslo_concurrency": {"lock_path": options.directory / "lock"},
        "wsgi": {"api_paste_config": Path(sys.prefix) / "etc" / "nova" / "api-paste.ini"},
        # half of the time of each list of servers would go into checking it
        "api": {"response_validation": "ignore"},
        **neighbours(ports),
        "scheduler": {"workers": 1, "max_attempts": 3},
        "filter_scheduler": {"track_instance_changes": False},
        "quota": dict.fromkeys(("instances", "cores", "ram", "server_groups", "server_group_members"), -1),
        "compute": {"live_migration_wait_for_vif_plug": False, "resource_provider_association_refresh": 0},
        "vnc": {"enabled": False},
        "spice": {"enabled": False},
        "upgrade_levels": {"compute": "auto"},
    }


def _defaults(options: Options) -> dict[str, t.Any]:
    return {
        "host": "bed-control",
        "debug": options.debug,
        "log_file": options.directory / "nova.log",
        "use_stderr": False,
        "state_path": options.directory,
        "transport_url": "fake://",
        "compute_driver": "bed.TruthDriver",
        "my_ip": ADDRESS,
        "report_interval": options.report_interval,
        "service_down_time": options.service_down_time,
        # fake:// knows no call monitoring: a call to a dead host would last the default of 1800 s
        "rpc_response_timeout": 60,
        "long_rpc_timeout": 60,
        "allow_resize_to_same_host": True,
        "sync_power_state_interval": 20,
        "heal_instance_info_cache_interval": -1,
    }


def neighbours(ports: Ports) -> Sections:
    """How Nova reaches the other services, and who it is there."""
    auth = {
        "auth_type": "password",
        "auth_url": ports.auth_url,
        "username": "nova",
        "password": "nova-secret",
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": REGION,
    }
    others = f"http://{ADDRESS}:{ports.others}"
    validation = {"www_authenticate_uri": auth["auth_url"], "service_token_roles_required": True}
    return {
        # the service type makes keystonemiddleware enforce the access rules of application credentials
        "keystone_authtoken": {**auth, **validation, "service_type": "compute"},
        "keystone": auth,
        "placement": auth,
        "service_user": {"send_service_user_token": True, **auth},
        "glance": {"endpoint_override": f"{others}/image"},
        "neutron": {**auth, "endpoint_override": f"{others}/network"},
        "cinder": {**auth, "os_region_name": REGION},
    }


def placement_conf(options: Options) -> str:
    # noauth2 takes the user from the token's text: those of the bed's identity begin with "admin:"
    return ini(
        {
            "api": {"auth_strategy": "noauth2"},
            "placement_database": {**database(options.directory, "placement"), "sync_on_startup": True},
        }
    )


def database(directory: Path, name: str) -> dict[str, t.Any]:
    return {"connection": database_url(directory, name), "sqlite_synchronous": False}


def database_url(directory: Path, name: str) -> str:
    return f"sqlite:///{directory}/db/{name}.db?timeout=60"


def ini(sections: Sections) -> str:
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items()), ""]
    return "\n".join(lines)


def clouds_yaml(ports: Ports) -> str:
    return f"""\
clouds:
  lab:
    auth:
      auth_url: "{ports.auth_url}"
      username: admin
      password: secret
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
    region_name: {REGION}
    identity_api_version: "3"
"""
