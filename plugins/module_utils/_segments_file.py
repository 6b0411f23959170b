# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The segments file: what may stand in it. PRIVATE to this collection: may change at any time.

Own checks instead of jsonschema: they are not longer than the schema and the translation of its
errors would be, they suggest the nearest key, and they cost no import on the way of a recovery.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing as t
import urllib.parse
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import validate_levels

RECOVERY_METHODS = ("auto", "reserved_host", "auto_priority", "rh_priority")
#: Each says alone which hosts are in a segment.
SELECTORS = ("hosts", "aggregate", "availability_zone", "aggregate_metadata")

Levels = t.List[t.Dict[str, t.Any]]
_Check = t.Callable[[t.Any, str], t.Any]


@dataclasses.dataclass(frozen=True)
class Segment:
    """One failover segment as it is written down: exactly one of the :data:`SELECTORS` is not None."""

    name: str
    hosts: list[str] | None = None
    aggregate: str | None = None
    availability_zone: str | None = None
    aggregate_metadata: dict[str, str] | None = None
    reserved_hosts: list[str] = dataclasses.field(default_factory=list)
    reserved_aggregate: str | None = None
    recovery_method: str = "auto"
    shared_storage: bool = False
    allow_local_disk_loss: bool = False
    protect: bool = True
    priority: int = 500
    failure_domain: str | None = None
    fencing: Levels | None = None

    @property
    def path(self) -> str:
        """Where it stands in the file."""
        return f"segments.{self.name}"

    @property
    def group(self) -> str:
        """The name of its inventory group."""
        return "segment_" + re.sub(r"[.-]", "_", self.name)


@dataclasses.dataclass(frozen=True)
class HostSettings:
    """What the file says about one host; None where it says nothing."""

    name: str
    failure_domain: str | None = None
    fencing: Levels | None = None
    identity: dict[str, str] = dataclasses.field(default_factory=dict)
    probe: list[str] | None = None


@dataclasses.dataclass(frozen=True)
class SegmentsFile:
    """A valid segments file, without what Ansible itself reads from it."""

    segments: list[Segment]
    hosts: list[HostSettings]
    fencing: Levels


def parse(config: t.Mapping[str, t.Any], other_keys: t.Collection[str]) -> SegmentsFile:
    """Check the contents of a segments file. Strings are kept as the objects they are, templates unresolved.

    :param other_keys: Top-level keys that belong to Ansible or to the connection.
    :raises ConfigError: Naming the path of the first key that is wrong.
    """
    _known_keys(config, {"segments", "hosts", "fencing", *other_keys}, "")
    segments = [
        _segment(name, settings, f"segments.{name}")
        for name, settings in _named(config.get("segments"), "segments").items()
    ]
    _different_groups(segments)
    hosts = [
        HostSettings(name=name, **_checked(settings, HOST_KEYS, f"hosts.{name}"))
        for name, settings in _named(config.get("hosts"), "hosts", allow_empty=True).items()
    ]
    return SegmentsFile(segments, hosts, _levels(config.get("fencing", []), "fencing"))


def _segment(name: str, settings: t.Any, path: str) -> Segment:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ConfigError(f"{path}: the name of a segment is made of letters, digits, '_', '-' and '.'.")
    segment = Segment(name=name, **_checked(settings, SEGMENT_KEYS, path))
    selectors = [key for key in SELECTORS if getattr(segment, key) is not None]
    if len(selectors) != 1:
        raise ConfigError(
            f"{path}: has {' and '.join(selectors) or 'nothing that says which hosts are in it'}; "
            f"give exactly one of {', '.join(SELECTORS)}."
        )
    return segment


def _different_groups(segments: list[Segment]) -> None:
    by_group: dict[str, Segment] = {}
    for segment in segments:
        other = by_group.setdefault(segment.group, segment)
        if other is not segment:
            raise ConfigError(
                f"{segment.path}: would have the same inventory group '{segment.group}' as {other.path}; rename one."
            )


def _checked(settings: t.Any, checks: dict[str, _Check], path: str) -> dict[str, t.Any]:
    settings = {} if settings is None else _mapping(settings, path)
    _known_keys(settings, checks, path)
    return {key: checks[key](value, f"{path}.{key}") for key, value in settings.items()}


def _known_keys(settings: t.Mapping[t.Any, t.Any], known: t.Collection[str], path: str) -> None:
    for key in settings:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, 1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known keys here: {', '.join(sorted(known))}."
        raise ConfigError(f"{path}{'.' if path else ''}{key}: unknown key. {hint}")


def _wrong(path: str, expected: str, value: t.Any) -> ConfigError:
    got = repr(value) if isinstance(value, (str, int, float, type(None))) else f"a {_yaml_type(value)}"
    return ConfigError(f"{path}: must be {expected}, not {got}.")


def _yaml_type(value: t.Any) -> str:
    return "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else "special value"


def _mapping(value: t.Any, path: str) -> dict[t.Any, t.Any]:
    if not isinstance(value, dict):
        raise _wrong(path, "a mapping", value)
    return value


def _named(value: t.Any, path: str, allow_empty: bool = False) -> dict[str, t.Any]:
    named = {} if value is None else _mapping(value, path)
    if not (named or allow_empty):
        raise ConfigError(f"{path}: is missing or empty; name at least one failover segment and its hosts.")
    for name in named:
        if not isinstance(name, str):
            raise ConfigError(f"{path}.{name}: a name must be a string; put it in quotes.")
    return named


def _string(value: t.Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(path, "a string (in quotes, if YAML takes it for something else)", value)
    return value


def _list(check: _Check) -> _Check:
    def checked(value: t.Any, path: str) -> list[t.Any]:
        if not isinstance(value, list):
            raise _wrong(path, "a list", value)
        return [check(item, f"{path}[{number}]") for number, item in enumerate(value)]

    return checked


def _boolean(value: t.Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, "true or false", value)
    return value


def _priority(value: t.Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
        raise _wrong(path, "a whole number from 0 to 1000", value)
    return value


def _recovery_method(value: t.Any, path: str) -> str:
    if value not in RECOVERY_METHODS:
        raise _wrong(path, "one of " + ", ".join(RECOVERY_METHODS), value)
    return str(value)


def _pairs(value: t.Any, path: str) -> dict[str, str]:
    pairs = {_string(key, path): _string(item, f"{path}.{key}") for key, item in _mapping(value, path).items()}
    if not pairs:
        raise ConfigError(f"{path}: is empty, and would select every aggregate; name at least one key and value.")
    return pairs


def _identity(value: t.Any, path: str) -> dict[str, str]:
    return _checked(value, {"serial": _string, "uuid": _uuid}, path)


def _uuid(value: t.Any, path: str) -> str:
    text = _string(value, path)
    try:
        return text if _is_template(text) else str(uuid.UUID(text))
    except ValueError:
        raise _wrong(path, "a UUID as in `dmidecode -s system-uuid`", value) from None


def _probe(value: t.Any, path: str) -> str:
    text = _string(value, path)
    if not _is_template(text) and not _is_endpoint(text):
        raise _wrong(path, "tcp://address:port", value)
    return text


def _is_endpoint(text: str) -> bool:
    try:
        url = urllib.parse.urlsplit(text)
        return url.scheme == "tcp" and bool(url.hostname and url.port) and not (url.path or url.query or url.fragment)
    except ValueError:
        return False


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


def _levels(value: t.Any, path: str) -> Levels:
    if not isinstance(value, list):
        raise _wrong(path, "a list of fencing levels", value)
    validate_levels(_readable(value), path)
    return value


def _readable(value: t.Any) -> t.Any:
    """A copy with a template for each value that cannot be looked into yet: a vaulted one would be decrypted."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return value if isinstance(value, (str, int, float, type(None))) else "{{ vaulted }}"


SEGMENT_KEYS: dict[str, _Check] = {
    "aggregate": _string,
    "aggregate_metadata": _pairs,
    "allow_local_disk_loss": _boolean,
    "availability_zone": _string,
    "failure_domain": _string,
    "fencing": _levels,
    "hosts": _list(_string),
    "priority": _priority,
    "protect": _boolean,
    "recovery_method": _recovery_method,
    "reserved_aggregate": _string,
    "reserved_hosts": _list(_string),
    "shared_storage": _boolean,
}
HOST_KEYS: dict[str, _Check] = {
    "failure_domain": _string,
    "fencing": _levels,
    "identity": _identity,
    "probe": _list(_probe),
}
