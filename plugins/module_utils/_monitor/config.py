# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of the monitor: one JSON file. PRIVATE to this collection: may change at any time.

Each kind has a section named like it, whose options stand in ``options_KIND.py``: plain data, imported only for the
kinds that run.
"""

from __future__ import annotations

import dataclasses
import importlib
import ipaddress
import json
import re
import typing as t
import urllib.parse

from .errors import ConfigError
from .options import Json, Option, check

#: Sections, and the file that has their options. A section of a kind that does not run here is checked all the same.
SECTIONS = ("instance", "process", "network", "watchdog", "etcd", "pacemaker")

_RESPONDER: dict[str, Option] = {
    "name": Option(least=1),
    "url": Option(least=1),
    "ca_file": Option(default=None),
    "beats": Option("map", default={}, each=Option()),
}
_NETWORK: dict[str, Option] = {
    "source": Option(),
    "interface": Option(default=None, least=1, most=15),
    "check": Option("list", default=[], each=Option()),
}
_HEARTBEAT: dict[str, Option] = {"interval": Option("float", default=0.5, least=0.05, most=60)}
_SPOOL: dict[str, Option] = {
    "directory": Option(default="/var/lib/openstack_ha_monitor", least=1),
    "limit_bytes": Option("int", default=4 * 1024 * 1024, least=65536),
}
COMMON: dict[str, Option] = {
    "host": Option(least=1, most=255),
    "principal": Option(default=None),
    "token_file": Option(least=1),
    "responders": Option("list", least=1, each=Option("object", options=_RESPONDER)),
    "networks": Option("map", default={}, each=Option("object", options=_NETWORK)),
    "spool": Option("object", options=_SPOOL),
    "repeat": Option("float", default=30.0, least=1, most=3600),
    "heartbeat": Option("object", options=_HEARTBEAT),
}
_PRINCIPAL = re.compile(r"(host|reporter):[^\s\x00-\x1f]+")


@dataclasses.dataclass(frozen=True)
class Responder:
    """One responder: where signals go, and by network where heartbeats go."""

    name: str
    url: str
    ca_file: str | None
    beats: dict[str, tuple[str, int]]


@dataclasses.dataclass(frozen=True)
class Network:
    """One network of this host."""

    name: str
    source: str
    interface: str | None
    check: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class Config:
    """All of it, checked. ``sections`` has those of the kinds, by name, with their defaults."""

    host: str
    principal: str
    token_file: str
    responders: tuple[Responder, ...]
    networks: tuple[Network, ...]
    spool_directory: str
    spool_limit: int
    repeat: float
    interval: float
    sections: dict[str, Json]

    def section(self, name: str) -> Json:
        """The options of a kind."""
        return self.sections[name]


def load(path: str) -> Config:
    """Read the file.

    :raises ConfigError: It cannot be read, or is wrong.
    """
    try:
        with open(path, encoding="utf-8") as opened:
            found = json.load(opened)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return parse(found)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(found: t.Any) -> Config:
    """Check what the file says."""
    table = {**COMMON, **{name: Option("object", options=options(name)) for name in SECTIONS}}
    values = check(found, table)
    principal = values["principal"] or f"host:{values['host']}"
    if not _PRINCIPAL.fullmatch(principal):
        raise ConfigError(f"principal: must be host:NAME or reporter:NAME, not {principal!r}")
    networks = tuple(_network(name, it) for name, it in values["networks"].items())
    config = Config(
        host=values["host"],
        principal=principal,
        token_file=values["token_file"],
        responders=tuple(_responder(n, it) for n, it in enumerate(values["responders"])),
        networks=networks,
        spool_directory=values["spool"]["directory"],
        spool_limit=values["spool"]["limit_bytes"],
        repeat=values["repeat"],
        interval=values["heartbeat"]["interval"],
        sections={name: values[name] for name in SECTIONS},
    )
    _check_together(config)
    return config


def options(section: str) -> dict[str, Option]:
    """The options of a section: plain data in a file of its own."""
    try:
        module = importlib.import_module(f".options_{section}", __package__)
    except ModuleNotFoundError as error:
        if error.name != f"{__package__}.options_{section}":
            raise
        return {}
    return dict(module.OPTIONS)


def _responder(number: int, values: Json) -> Responder:
    path = f"responders[{number}]"
    url = values["url"].rstrip("/")
    scheme, plain = _scheme(url, f"{path}.url"), url.startswith("http:")
    if scheme == "https" and not values["ca_file"]:
        raise ConfigError(f"{path}.ca_file: is missing: nothing else proves who {url} is")
    if plain and values["ca_file"]:
        raise ConfigError(f"{path}.ca_file: is of no use with {url}, which is not encrypted")
    beats = {name: address(it, f"{path}.beats.{name}") for name, it in values["beats"].items()}
    return Responder(values["name"], url, values["ca_file"], beats)


def _scheme(url: str, path: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        right = parts.scheme in ("https", "http") and parts.hostname and (parts.port or 1)
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or parts.username:
        raise ConfigError(f"{path}: must be like https://192.0.2.5:7411, not {url!r}")
    return parts.scheme


def _network(name: str, values: Json) -> Network:
    path = f"networks.{name}"
    try:
        ipaddress.ip_address(values["source"])
    except ValueError as error:
        raise ConfigError(f"{path}.source: must be an address of this host, not {values['source']!r}") from error
    return Network(
        name,
        values["source"],
        values["interface"],
        tuple(
            address(it[6:] if it.startswith("tcp://") else it, f"{path}.check[{n}]")
            for n, it in enumerate(values["check"])
        ),
    )


def address(text: str, path: str) -> tuple[str, int]:
    """``192.0.2.5:7412`` or ``[2001:db8::5]:7412``; no names, for what resolves them may be what has failed."""
    host, _colon, port = text.rpartition(":")
    try:
        plain = str(ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host))
        number = int(port) if port.isascii() and port.isdigit() else 0
    except ValueError:
        number = 0
    if not 0 < number < 65536:
        raise ConfigError(f"{path}: must be like 192.0.2.5:7412 or [2001:db8::5]:7412, not {text!r}")
    return plain, number


def _check_together(config: Config) -> None:
    names = [it.name for it in config.responders]
    if len(set(names)) != len(names):
        raise ConfigError(f"responders: each needs a name of its own: {', '.join(names)}")
    own = {it.name: ipaddress.ip_address(it.source).version for it in config.networks}
    for responder in config.responders:
        for name, (host, _port) in responder.beats.items():
            if name not in own:
                raise ConfigError(f"responders: {responder.name}: beats.{name}: networks has no {name}")
            if ipaddress.ip_address(host).version != own[name]:
                raise ConfigError(f"responders: {responder.name}: beats.{name}: {host} is not of the version of source")
