# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The segments file: what may stand in it. PRIVATE to this collection: may change at any time.

Own checks instead of jsonschema: they are not longer than the schema and the translation of its
errors would be, they suggest the nearest key, and they cost no import on the way of a recovery.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import (
    below,
    each,
    is_endpoint,
    is_template,
    raise_all,
    unknown_key,
    wrong,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import validate_levels

RECOVERY_METHODS = ("auto", "reserved_host", "auto_priority", "rh_priority")
#: Each says alone which hosts are in a segment.
SELECTORS = ("hosts", "aggregate", "availability_zone", "aggregate_metadata")

Levels = t.List[t.Dict[str, t.Any]]
_Check = t.Callable[[t.Any, str], t.Any]


@dataclasses.dataclass(frozen=True)
class Segment:
    """One failover segment as it is written down: exactly one of the :data:`SELECTORS` is not None.

    What it does not say about its VMs, the policy says.
    """

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
    protect: bool | None = None
    priority: int | None = None
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
    :raises ConfigError: Naming the path of every key that is wrong, a line each.
    """
    given = {**config, **{key: value for key, value in _NOT_GIVEN.items() if key not in config}}
    values = _checked(given, {**dict.fromkeys(other_keys, _anything), **FILE_KEYS}, "")
    return SegmentsFile(**{key: values[key] for key in FILE_KEYS})


def names(config: t.Mapping[str, t.Any]) -> tuple[list[str], list[str]]:
    """The segments and the failure domains that a file names, also if it is wrong otherwise."""
    named = [it if isinstance(it, dict) else {} for it in (config.get("segments"), config.get("hosts"))]
    settings = [it for mapping in named for it in mapping.values() if isinstance(it, dict)]
    domains = {str(it["failure_domain"]) for it in settings if it.get("failure_domain") is not None}
    return [str(name) for name in named[0]], sorted(domains)


def with_policy(file: SegmentsFile, vms: t.Mapping[str, t.Any]) -> SegmentsFile:
    """The file with what the policy says about the VMs of segments that say nothing themselves."""
    return dataclasses.replace(file, segments=[_with_policy(segment, vms) for segment in file.segments])


def _with_policy(segment: Segment, vms: t.Mapping[str, t.Any]) -> Segment:
    return dataclasses.replace(
        segment, **{key: vms[key] for key in ("protect", "priority") if getattr(segment, key) is None}
    )


def _segments(value: t.Any, path: str) -> list[Segment]:
    segments = each(_segment, ((name, it, f"{path}.{name}") for name, it in _named(value, path).items()))
    _different_groups(segments)
    return segments


def _hosts(value: t.Any, path: str) -> list[HostSettings]:
    settings = _named(value, path, allow_empty=True)
    return each(_host, ((name, it, f"{path}.{name}") for name, it in settings.items()))


def _host(name: str, settings: t.Any, path: str) -> HostSettings:
    return HostSettings(name=name, **_checked(settings, HOST_KEYS, path))


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
    equal = [(segment, by_group.setdefault(segment.group, segment)) for segment in segments]
    raise_all(
        [
            ConfigError(
                f"{segment.path}: would have the same inventory group '{segment.group}' as {other.path}; rename one."
            )
            for segment, other in equal
            if other is not segment
        ]
    )


def _checked(settings: t.Any, checks: dict[str, _Check], path: str) -> dict[str, t.Any]:
    def checked(key: t.Any, value: t.Any) -> tuple[str, t.Any]:
        if key not in checks:
            raise unknown_key(path, key, checks)
        return key, checks[key](value, below(path, key))

    return dict(each(checked, ({} if settings is None else _mapping(settings, path)).items()))


def _anything(value: t.Any, path: str) -> t.Any:
    return value


def _mapping(value: t.Any, path: str) -> dict[t.Any, t.Any]:
    if not isinstance(value, dict):
        raise wrong(path, "a mapping", value)
    return value


def _named(value: t.Any, path: str, allow_empty: bool = False) -> dict[str, t.Any]:
    named = {} if value is None else _mapping(value, path)
    if not (named or allow_empty):
        raise ConfigError(f"{path}: is missing or empty; name at least one failover segment and its hosts.")
    raise_all(
        [
            ConfigError(f"{path}.{name}: a name must be a string; put it in quotes.")
            for name in named
            if not isinstance(name, str)
        ]
    )
    return named


def _string(value: t.Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise wrong(path, "a string (in quotes, if YAML takes it for something else)", value)
    return value


def _list(check: _Check) -> _Check:
    def checked(value: t.Any, path: str) -> list[t.Any]:
        if not isinstance(value, list):
            raise wrong(path, "a list", value)
        return each(check, ((item, below(path, number)) for number, item in enumerate(value)))

    return checked


def _boolean(value: t.Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(path, "true or false", value)
    return value


def _priority(value: t.Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
        raise wrong(path, "a whole number from 0 to 1000", value)
    return value


def _recovery_method(value: t.Any, path: str) -> str:
    if value not in RECOVERY_METHODS:
        raise wrong(path, "one of " + ", ".join(RECOVERY_METHODS), value)
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
        return text if is_template(text) else str(uuid.UUID(text))
    except ValueError:
        raise wrong(path, "a UUID as in `dmidecode -s system-uuid`", value) from None


def _probe(value: t.Any, path: str) -> str:
    text = _string(value, path)
    if not is_template(text) and not is_endpoint(text):
        raise wrong(path, "tcp://address:port", value)
    return text


def _levels(value: t.Any, path: str) -> Levels:
    if not isinstance(value, list):
        raise wrong(path, "a list of fencing levels", value)
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
FILE_KEYS: dict[str, _Check] = {"segments": _segments, "hosts": _hosts, "fencing": _levels}
_NOT_GIVEN: dict[str, t.Any] = {"segments": None, "hosts": None, "fencing": []}
